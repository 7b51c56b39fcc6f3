// The page's icons, as inline SVG paths, so that the page needs no icon font.

const PATHS = {
  plus: "M8 2v12M2 8h12",
  close: "M3 3l10 10M13 3L3 13",
  menu: "M2 4h12M2 8h12M2 12h12",
  edit: "M3 13l.7-3L11 2.7l2.3 2.3L6 12.3z",
  delete: "M3 4h10M6 4V2.5h4V4M4.5 4l.6 9.5h5.8l.6-9.5",
  copy: "M5.5 5.5V2.5h8v8h-3M2.5 5.5h8v8h-8z",
  done: "M2.5 8.5l3.5 3.5 7.5-8",
  regenerate: "M13 8a5 5 0 1 1-1.5-3.6M13 2v3h-3",
  good: "M2.5 7.5h2.5v6H2.5zM5 7.5l2.5-5c1.3 0 1.7.9 1.4 2L8.5 6.5h4.2c.8 0 1 .7.8 1.3l-1.4 4.9c-.1.5-.5.8-1 .8H5",
  bad: "M13.500 8.500h-2.500v-6h2.500zM11 8.500l-2.500 5c-1.300 0-1.700-.9-1.400-2l.4-2H3.300c-.8 0-1-.7-.8-1.300l1.400-4.900c.1-.5.5-.8 1-.8H11",
  left: "M10 3L5 8l5 5",
  right: "M6 3l5 5-5 5",
  down: "M8 3v10M4 9l4 4 4-4",
  memory: "M3 3.500h6.500a2 2 0 0 1 2 2v8.500H5a2 2 0 0 1-2-2zM3 11.500a1.500 1.500 0 0 1 1.500-1.500h7M13.500 2v12",
};

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg className="svg" viewBox="0 0 16 16" width="16" height="16" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} fill="none" stroke="currentColor" strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
