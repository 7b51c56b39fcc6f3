// The sign-in screen.

export function SignIn({ error }: { error?: string }) {
  return (
    <main className="sign-in">
      <img src="/icon.svg" alt="" width="56" height="56" />
      <h1>Lar</h1>
      {error && (
        <p role="alert" className="alert">
          {error}
        </p>
      )}
      <p>You sign in to Lar with a link. To get a link, run this command on the machine where Lar runs:</p>
      <pre>
        <code>lar open</code>
      </pre>
      <p className="quiet">A sign-in link works once, within 10 minutes. This browser then stays signed in for 30 days.</p>
    </main>
  );
}
