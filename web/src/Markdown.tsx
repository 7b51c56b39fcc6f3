// Renders an answer's GitHub Flavored Markdown, with highlighted code and a copy button. HTML is shown as text and never
// rendered.

import { Icon } from "./Icon";
import { MarkdownTextPrimitive } from "@assistant-ui/react-markdown";
import { memo, useRef, useState, type ComponentProps } from "react";
import rehypeHighlight from "rehype-highlight";
import remarkGfm from "remark-gfm";

function CodeBlock(props: ComponentProps<"pre">) {
  const pre = useRef<HTMLPreElement>(null);
  const [isCopied, setIsCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(pre.current?.textContent ?? "");
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), 1500);
  };
  return (
    <div className="code">
      <button className="icon copy-code" onClick={copy} aria-label="Copy code">
        <Icon name={isCopied ? "done" : "copy"} />
      </button>
      <pre {...props} ref={pre} tabIndex={0} />
    </div>
  );
}

const components = {
  pre: CodeBlock,
  a: (props: ComponentProps<"a">) => <a {...props} target="_blank" rel="noreferrer noopener" />,
  // Links instead of images: loading an image would tell another site that this answer is being read.
  img: (props: ComponentProps<"img">) => <a href={props.src as string} rel="noreferrer noopener" target="_blank">{props.alt || "image"}</a>,
  table: (props: ComponentProps<"table">) => (
    <div className="table" tabIndex={0} role="region" aria-label="Table">
      <table {...props} />
    </div>
  ),
};

export const Markdown = memo(() => (
  <MarkdownTextPrimitive
    className="markdown"
    smooth={false}
    remarkPlugins={[remarkGfm]}
    rehypePlugins={[[rehypeHighlight, { detect: true }]]}
    components={components}
  />
));
