// Requests to the server. The token is read from the fragment of the address and removed from it at once.

const STORED = "fedmpt-token";

if (location.hash.length > 1) {
  sessionStorage.setItem(STORED, location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}

// A request that the server refused; the message is for the user.
export class Refused extends Error {
  constructor(status, problems) {
    super(problems.map((problem) => problem.message).join("\n"));
    this.status = status;
    this.problems = problems;
  }
}

// Content is sent as JSON, or as it is where it is a file.
export async function ask(path, content) {
  const options = { headers: { Authorization: `Bearer ${sessionStorage.getItem(STORED) ?? ""}` } };
  if (content !== undefined) Object.assign(options, { method: "POST", body: content instanceof Blob ? content : JSON.stringify(content) });
  let response;
  try {
    response = await fetch(`/api/${path}`, options);
  } catch {
    throw new Refused(0, [{ place: "", message: `The server does not answer: it has ended. ${document.body.dataset.ended}` }]);
  }
  const answer = await response.json().catch(() => null);
  if (answer === null) throw new Refused(response.status, [{ place: "", message: `The server failed (${response.status}); the terminal says why.` }]);
  if (!response.ok) throw new Refused(response.status, answer.problems);
  return answer;
}
