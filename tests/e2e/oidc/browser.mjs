// A minimal browser for a user: logs in, consents, and follows redirects with a
// cookie jar.

/// Follows an authorization request of `oidc-provider` to its end. Returns the
/// URL that leads back to the client, or the last page if the client itself
/// serves it.
export async function logIn(start, { returnTo, name = "alice" } = {}) {
  const jar = new Map();
  const step = async (url, init = {}) => {
    const cookie = [...jar].map(([key, value]) => `${key}=${value}`).join("; ");
    const answer = await fetch(url, { redirect: "manual", ...init, headers: { ...init.headers, cookie } });
    for (const line of answer.headers.getSetCookie()) {
      const [pair] = line.split(";");
      const at = pair.indexOf("=");
      jar.set(pair.slice(0, at), pair.slice(at + 1));
    }
    return answer;
  };
  let url = String(start);
  let answer = await step(url);
  for (let hops = 0; hops < 16; hops++) {
    const location = answer.headers.get("location") && new URL(answer.headers.get("location"), url).href;
    if (location && returnTo && location.startsWith(returnTo)) return new URL(location);
    if (location) {
      url = location;
      answer = await step(url);
      continue;
    }
    const page = await answer.text();
    const action = /action="([^"]+)"/.exec(page);
    if (!action) {
      if (!returnTo && answer.status === 200) return page;
      throw new Error(`${answer.status} at ${url}: ${page.replace(/<[^>]+>/g, " ").slice(0, 300)}`);
    }
    const prompt = /name="prompt" value="([^"]+)"/.exec(page)[1];
    url = new URL(action[1], url).href;
    const form = prompt === "login" ? { prompt, login: name, password: "x" } : { prompt };
    answer = await step(url, { method: "POST", body: new URLSearchParams(form) });
  }
  throw new Error("the redirects do not end");
}
