// The sign-in screen.

export function SignIn({ error }: { error?: string }) {
  return (
    <main className="sign-in">
      <img src="/icon.svg" alt="" width="56" height="56" />
      <h1>Lar</h1>
      {error && (
        <p role="alert" className="alert">
          <ErrorText text={error} />
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

/** An error of the API as a sentence: such a text starts in lower case and has commands in backticks. */
function ErrorText({ text }: { text: string }) {
  const parts = (text.charAt(0).toUpperCase() + text.slice(1)).split("`");
  return <>{parts.map((part, index) => (index % 2 === 1 ? <code key={index}>{part}</code> : part))}</>;
}
