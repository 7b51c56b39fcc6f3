// The memory spaces, and who may use each team space.

import { useEffect, useState, type FormEvent } from "react";
import { ApiError } from "../api";
import { spaceName, spaces, type Access, type Grant, type Space } from "./api";

interface Props {
  allSpaces: Space[];
  onChanged: () => void;
}

const ACCESS_LABELS = { own: "Owner", write: "Can read and edit", read: "Can read" };

export function Spaces({ allSpaces, onChanged }: Props) {
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
        Only you can use your own memories. Share a team space with the people who should use it. An agent's space is separate from all
        others. To invite a user to Lar, run <code>lar users invite NAME</code>.
      </p>
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
      <form className="inline-form" onSubmit={create}>
        <label className="hidden" htmlFor="space-name">
          New space name
        </label>
        <input id="space-name" name="name" placeholder="Name of a new team space…" autoComplete="off" />
        <button className="primary">Create space</button>
      </form>
      <ul className="cards" aria-label="Spaces">
        {allSpaces.map((space) => (
          <li key={space.id} className="card">
            <p className="content">{spaceName(space)}</p>
            <p className="about">
              <span className="chip">{space.kind}</span> <span>{ACCESS_LABELS[space.access]}</span>
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
    spaces.listGrants(space.id).then(({ data }) => setGrants(data), onFailed);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [space.id]);
  const share = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = event.currentTarget;
    const values = new FormData(form);
    spaces.grant(space.id, String(values.get("user")).trim(), String(values.get("access")) as Access).then(({ data }) => {
      setGrants(data);
      form.reset();
    }, onFailed);
  };
  const revoke = (user: string) =>
    spaces.revoke(space.id, user).then(() => setGrants((current) => current?.filter((grant) => grant.user_id !== user)), onFailed);
  return (
    <>
      <ul className="grants" aria-label={`People with access to ${spaceName(space)}`}>
        {grants?.map((grant) => (
          <li key={grant.user_id}>
            <span>{grant.user}</span> <span className="quiet">{ACCESS_LABELS[grant.access]}</span>
            {space.access === "own" && (
              <button className="quiet-button" aria-label={`Remove ${grant.user}`} onClick={() => revoke(grant.user_id)}>
                Remove
              </button>
            )}
          </li>
        ))}
        {grants?.length === 0 && <li className="quiet">Not shared with anyone.</li>}
      </ul>
      {space.access === "own" && (
        <form className="filters" onSubmit={share}>
          <input name="user" aria-label="User name" placeholder="User name" required autoComplete="off" />
          <select name="access" aria-label="Access">
            <option value="read">Can read</option>
            <option value="write">Can read and edit</option>
          </select>
          <button>Share</button>
        </form>
      )}
    </>
  );
}
