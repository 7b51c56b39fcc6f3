// The API keys that used the memories of a space, and when each key last read and wrote.

import { useEffect, useState } from "react";
import { formatDateTime, spaceName, type KeyActivity as Activity, type MemoryApi, type Space } from "./api";

export function KeyActivity({ memories, spaces }: { memories: MemoryApi; spaces: Space[] }) {
  const [activities, setActivities] = useState<Activity[]>();
  useEffect(() => {
    memories.keyActivity().then(({ data }) => setActivities(data), () => setActivities([]));
  }, [memories]);
  const nameOf = (id: string) => {
    const space = spaces.find((space) => space.id === id);
    return space ? spaceName(space) : id;
  };
  return (
    <>
      <h2 className="section">API keys that used your memories</h2>
      {activities?.length === 0 && <p className="quiet empty">No API key has used your memories yet.</p>}
      {activities && activities.length > 0 && (
        <div className="table">
          <table>
            <thead>
              <tr>
                <th scope="col">API key</th>
                <th scope="col">Space</th>
                <th scope="col">Last read</th>
                <th scope="col">Last write</th>
              </tr>
            </thead>
            <tbody>
              {activities.map((activity) => (
                <tr key={`${activity.key} ${activity.space}`}>
                  <td>{activity.name}</td>
                  <td>{nameOf(activity.space)}</td>
                  <td>{activity.read_at ? formatDateTime(activity.read_at) : "Never"}</td>
                  <td>{activity.written_at ? formatDateTime(activity.written_at) : "Never"}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
