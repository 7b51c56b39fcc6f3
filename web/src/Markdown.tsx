// An answer's Markdown: GitHub's flavour, highlighted code with a copy button. HTML in it is shown as text,
// never run.

import { Icon } from "./Icon";
import { MarkdownTextPrimitive } from "@assistant-ui/react-markdown";
import { memo, useRef, useState, type ComponentProps } from "react";
import rehypeHighlight from "rehype-highlight";
import remarkGfm from "remark-gfm";

function CodeBlock(props: ComponentProps<"pre">) {
  const pre = useRef<HTMLPreElement>(null);
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(pre.current?.textContent ?? "");
    setCopied(true);
    setTimeout(() => setCopied(false), 1500);
  };
  return (
    <div className="code">
      <button className="icon copy-code" onClick={copy} aria-label="Copy code">
        <Icon name={copied ? "done" : "copy"} />
      </button>
      <pre {...props} ref={pre} tabIndex={0} />
    </div>
  );
}

const components = {
  pre: CodeBlock,
  a: (props: ComponentProps<"a">) => <a {...props} target="_blank" rel="noreferrer noopener" />,
  // A picture of another site would tell it that someone reads this.
  img: (props: ComponentProps<"img">) => <a href={props.src as string} rel="noreferrer noopener" target="_blank">{props.alt || "picture"}</a>,
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
