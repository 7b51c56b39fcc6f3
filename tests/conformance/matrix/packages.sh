# The packages of the matrix. Each line of Python packages gets its own folder; all Node packages share one
# (package.json). The versions of the libraries, and of the SDKs that they use, are pinned.
python_packages=(
  "openai_py=openai==3.57.0"
  "openai_py_early=openai==1.40.0 httpx<0.28"
  "anthropic_py=anthropic==2.14.0"
  "litellm_py=litellm==1.106.12 openai==2.54.0 mcp==2.3.0"
  "langchain_py=langchain-openai==1.7.4 langchain==1.5.2 openai==3.57.0"
  "instructor_py=instructor==1.17.0 openai==3.3.0"
  "pydantic_ai_py=pydantic-ai-slim[openai,anthropic]==2.32.2 openai==3.57.0 anthropic==0.125.0 httpx==0.28.1"
  "agents_py=openai-agents==0.20.0 openai==2.54.0"
  "smolagents_py=smolagents[openai]==1.26.0 openai==3.57.0"
  "llama_index_py=llama-index-llms-openai-like==0.8.1 openai==2.54.0"
  "dspy_py=dspy==3.4.1 litellm==1.110.2 openai==3.57.0"
  "fastmcp_py=fastmcp==4.2.3"
)
