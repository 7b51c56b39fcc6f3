// What someone sees who is not signed in.

export function SignIn({ reason }: { reason?: string }) {
  return (
    <main className="sign-in">
      <img src="/icon.svg" alt="" width="56" height="56" />
      <h1>Lar</h1>
      {reason && (
        <p role="alert" className="alert">
          {reason}
        </p>
      )}
      <p>Lar knows you by a link. Make one in the terminal on its machine and open it here:</p>
      <pre>
        <code>lar open</code>
      </pre>
      <p className="quiet">A link works once and for ten minutes. This browser then stays signed in for 30 days.</p>
    </main>
  );
}
