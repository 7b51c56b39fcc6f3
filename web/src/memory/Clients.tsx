// Which keys read and wrote last.

import { useEffect, useState } from "react";
import { moment, spaceName, type Client, type Space } from "./api";
import type { Calls } from "./MemoryList";

export function Clients({ calls, spaces }: { calls: Calls; spaces: Space[] }) {
  const [clients, setClients] = useState<Client[]>();
  useEffect(() => {
    calls.clients().then(({ data }) => setClients(data), () => setClients([]));
  }, [calls]);
  const where = (id: string) => {
    const space = spaces.find((one) => one.id === id);
    return space ? spaceName(space) : id;
  };
  return (
    <>
      <h2 className="section">Who used your memories</h2>
      {clients?.length === 0 && <p className="quiet empty">No key has used them yet.</p>}
      {clients && clients.length > 0 && (
        <div className="table">
          <table>
            <thead>
              <tr>
                <th scope="col">Key</th>
                <th scope="col">Space</th>
                <th scope="col">Last read</th>
                <th scope="col">Last wrote</th>
              </tr>
            </thead>
            <tbody>
              {clients.map((client) => (
                <tr key={`${client.key} ${client.space}`}>
                  <td>{client.name}</td>
                  <td>{where(client.space)}</td>
                  <td>{client.read_at ? moment(client.read_at) : "never"}</td>
                  <td>{client.written_at ? moment(client.written_at) : "never"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
