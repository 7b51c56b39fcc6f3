// What an answer that failed says of why, in words. The server stores only the code with the answer.

const WORDS: Record<string, string> = {
  // The engine's failure and Lar's own end have this code in common.
  ENGINE_FAILED: "Lar or its model stopped while this was written.",
  POOL_UNREADY: "The model was not loaded in time.",
  POOL_UNAVAILABLE: "The model cannot be loaded.",
  CONTEXT_TOO_LONG: "This conversation is too long for the model.",
  DEADLINE_UNMET: "There was not enough time for this answer.",
  DEADLINE_EXCEEDED: "The time for this answer ran out.",
  QUEUE_FULL: "Too much was waiting to be answered.",
  RATE_LIMITED: "Too much was asked in a short time.",
  STORAGE_FULL: "The disk is full.",
  STORE_UNAVAILABLE: "The database could not be read or written.",
  STORE_DAMAGED: "The database is damaged.",
  COMPONENT_UNAVAILABLE: "A part that this needs is not installed.",
  INTERNAL: "Lar made a mistake.",
};

/** Says why an answer failed and what can be done. */
export function failureWords(code: string | undefined, written: boolean): string {
  const why = (code && WORDS[code]) ?? "This answer broke off.";
  return `${why} ${written ? "What was written is kept; have" : "Nothing was written; have"} it made again.`;
}
