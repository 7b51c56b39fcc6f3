// Where memories lie, and who may use those of teams.

import { useEffect, useState, type FormEvent } from "react";
import { ApiError } from "../api";
import { spaceName, spaces, type Grant, type Space } from "./api";

interface Props {
  all: Space[];
  onChanged: () => void;
}

const MAY = { own: "yours", write: "you may read and change", read: "you may read" };

export function Spaces({ all, onChanged }: Props) {
  const [error, setError] = useState<string>();
  const fail = (cause: unknown) => setError(cause instanceof ApiError ? cause.message : String(cause));
  const create = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const name = String(new FormData(form).get("name") ?? "").trim();
    if (!name) return;
    setError(undefined);
    spaces.create(name).then(() => {
      form.reset();
      onChanged();
    }, fail);
  };
  return (
    <>
      <p className="quiet small">
        Your own memories are yours alone. A team's space is used by those it is shared with; an agent's is apart from all others.
        People are invited with <code>lar users invite NAME</code>.
      </p>
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
      <form className="tell" onSubmit={create}>
        <label className="hidden" htmlFor="space-name">
          Name of a new space
        </label>
        <input id="space-name" name="name" placeholder="A name for a team's space…" autoComplete="off" />
        <button className="primary">Make it</button>
      </form>
      <ul className="cards" aria-label="Spaces">
        {all.map((space) => (
          <li key={space.id} className="card">
            <p className="content">{spaceName(space)}</p>
            <p className="about">
              <span className="chip">{space.kind}</span> <span>{MAY[space.access]}</span>
            </p>
            {space.kind === "team" && <Grants space={space} onFailed={fail} />}
          </li>
        ))}
      </ul>
    </>
  );
}

function Grants({ space, onFailed }: { space: Space; onFailed: (cause: unknown) => void }) {
  const [grants, setGrants] = useState<Grant[]>();
  useEffect(() => {
    spaces.grants(space.id).then(({ data }) => setGrants(data), onFailed);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [space.id]);
  const grant = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const values = new FormData(form);
    spaces.grant(space.id, String(values.get("user")).trim(), String(values.get("access"))).then(({ data }) => {
      setGrants(data);
      form.reset();
    }, onFailed);
  };
  const revoke = (user: string) =>
    spaces.revoke(space.id, user).then(() => setGrants((known) => known?.filter((one) => one.user_id !== user)), onFailed);
  return (
    <>
      <ul className="grants" aria-label={`Who may use ${spaceName(space)}`}>
        {grants?.map((one) => (
          <li key={one.user_id}>
            <span>{one.user}</span> <span className="quiet">{one.access === "write" ? "reads and changes" : "reads"}</span>
            {space.access === "own" && (
              <button className="quiet-button" aria-label={`Take ${one.user}'s grant away`} onClick={() => revoke(one.user_id)}>
                Take away
              </button>
            )}
          </li>
        ))}
        {grants?.length === 0 && <li className="quiet">Nobody else yet.</li>}
      </ul>
      {space.access === "own" && (
        <form className="filters" onSubmit={grant}>
          <input name="user" aria-label="Who" placeholder="Who" required autoComplete="off" />
          <select name="access" aria-label="What they may do">
            <option value="read">may read</option>
            <option value="write">may read and change</option>
          </select>
          <button>Share</button>
        </form>
      )}
    </>
  );
}
