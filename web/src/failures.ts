// The text below a failed answer. The server stores only the error code with the answer.

interface Failure {
  cause: string;
  /** What to do next. Default: `RETRY`. */
  nextStep?: string;
}

const RETRY = "Regenerate the answer to try again.";

const FAILURES: Record<string, Failure> = {
  // The same code for an engine that failed and for a Lar that stopped.
  ENGINE_FAILED: { cause: "Lar or the model stopped while it wrote this answer." },
  POOL_UNREADY: { cause: "The model did not load in time." },
  POOL_UNAVAILABLE: { cause: "Lar could not load the model." },
  CONTEXT_TOO_LONG: {
    cause: "This conversation is too long for the model.",
    nextStep: "Start a new conversation, or choose a model with a longer context and regenerate the answer.",
  },
  DEADLINE_UNMET: { cause: "Lar could not start this answer before its deadline." },
  DEADLINE_EXCEEDED: { cause: "The deadline for this answer passed." },
  QUEUE_FULL: { cause: "The queue was full.", nextStep: "Wait a moment, then regenerate the answer." },
  RATE_LIMITED: { cause: "Too many requests in a short time.", nextStep: "Wait a moment, then regenerate the answer." },
  STORAGE_FULL: { cause: "The disk is full.", nextStep: "Free some disk space, then regenerate the answer." },
  STORE_UNAVAILABLE: { cause: "Lar could not read or write its database." },
  STORE_DAMAGED: { cause: "The database is damaged.", nextStep: "Stop Lar, then run lar doctor." },
  COMPONENT_UNAVAILABLE: { cause: "A component that this answer needs is not installed." },
  INTERNAL: { cause: "Lar had an internal error." },
};

/** Describes why an answer failed and what to do next. `hasContent`: whether a part of the answer was written. */
export function failureText(code: string | null | undefined, hasContent: boolean): string {
  const { cause, nextStep = RETRY } = (code && FAILURES[code]) || { cause: "The answer was interrupted." };
  return `${cause} ${hasContent ? "The text so far is saved." : "Nothing was written."} ${nextStep}`;
}
