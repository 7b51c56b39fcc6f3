// Changes that Lar proposes after it compared memories in idle hours, and the runs that can be undone.

import type { ReactNode } from "react";
import { formatDateTime, type ConsolidationRun, type Proposal } from "./api";

interface Props {
  proposals: Proposal[];
  runs: ConsolidationRun[];
  /** The button that loads more proposals. */
  more: ReactNode;
  onAccept: (ids: string[]) => void;
  onReject: (id: string) => void;
  onUndo: (run: string) => void;
}

export function Proposals({ proposals, runs, more, onAccept, onReject, onUndo }: Props) {
  // The runs of which something was accepted, or waits.
  const undoable = runs.filter(({ accepted, open }) => accepted + open > 0);
  return (
    <>
      {proposals.length > 0 && (
        <>
          <h2 className="section">Suggested changes</h2>
          {proposals.length > 1 && (
            <div className="bulk" role="toolbar" aria-label="All suggested changes">
              {/* The oldest first, as they were found. */}
              <button onClick={() => onAccept(proposals.map(({ id }) => id).reverse())}>Accept all changes</button>
            </div>
          )}
          <ul className="cards" aria-label="Suggested changes">
            {proposals.map((proposal) => (
              <ProposalCard
                key={proposal.id}
                proposal={proposal}
                onAccept={() => onAccept([proposal.id])}
                onReject={() => onReject(proposal.id)}
              />
            ))}
          </ul>
          {more}
        </>
      )}
      {undoable.length > 0 && (
        <>
          <h2 className="section">Consolidation in idle hours</h2>
          <p className="quiet small">
            When Lar is idle, it compares your memories and suggests changes. Undo a run to take back all that you accepted from it,
            and to remove its other suggestions.
          </p>
          <ul className="cards" aria-label="Consolidation runs">
            {undoable.map((run) => (
              <li className="card" key={run.id}>
                <p className="about">
                  <span>{formatDateTime(run.started_at)}</span>
                  <span>
                    Memories compared: {run.memories}. Duplicates: {run.duplicates}, possibly outdated: {run.links}, themes:{" "}
                    {run.themes}, accepted: {run.accepted}
                  </span>
                </p>
                <div className="actions">
                  <button onClick={() => onUndo(run.id)}>Undo this run</button>
                </div>
              </li>
            ))}
          </ul>
        </>
      )}
    </>
  );
}

interface ProposalCardProps {
  proposal: Proposal;
  onAccept: () => void;
  onReject: () => void;
}

/** One change: its reason, the memories that it is about, and the two answers. */
function ProposalCard({ proposal: { reason, keep, supersede, tag, memories }, onAccept, onReject }: ProposalCardProps) {
  return (
    <li className="card">
      {keep && supersede && (
        <>
          <p className="content">{supersede.content}</p>
          <p className="about">
            <span>{reason}, which would supersede it:</span>
          </p>
          <p className="before">“{keep.content}”</p>
        </>
      )}
      {tag && (
        <>
          <p className="content">
            {reason}. Tag them <strong>{tag}</strong>?
          </p>
          {memories?.map((memory) => (
            <p className="before" key={memory.id}>
              “{memory.content}”
            </p>
          ))}
        </>
      )}
      <div className="actions">
        <button className="primary" onClick={onAccept}>
          Accept
        </button>
        <button onClick={onReject}>Reject</button>
      </div>
    </li>
  );
}
