"use strict";
// The token of a mailed link stands in the fragment, where no log and no Referer sees it. It goes into the form, and out of the address bar.
function takeToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get("t");
  if (!token) return;
  history.replaceState(null, "", location.pathname);
  const field = document.getElementById("token");
  if (!field) return;
  field.value = token;
  if (field.dataset.go) field.form.submit();
}
takeToken();
addEventListener("hashchange", takeToken); // a link that is pasted on its own page loads nothing
// Devices that come back: each event brings what a reload of the page would show.
const live = document.querySelector("[data-live]");
if (live) {
  const events = new EventSource(live.dataset.live);
  const result = document.getElementById("result");
  events.addEventListener("progress", (e) => {
    const now = JSON.parse(e.data);
    if (result && "result" in now && result.textContent !== now.result) result.textContent = now.result;
    live.innerHTML = now.html; // made by the same code as this page, escaped there
  });
  events.addEventListener("end", () => events.close());
}
// Advice on a new password: about how many guesses it takes, runs and repetitions counted once. The service does not ask for it.
const strength = document.getElementById("strength");
if (strength) {
  document.getElementById("new").addEventListener("input", (e) => {
    const s = e.target.value.slice(0, 72);
    let signs = 0;
    for (const [set, n] of [[/[a-z]/, 26], [/[A-Z]/, 26], [/[0-9]/, 10], [/[^a-zA-Z0-9]/, 33]]) if (set.test(s)) signs += n;
    let length = 0;
    for (let i = 0; i < s.length; i++) {
      const step = s.charCodeAt(i) - s.charCodeAt(i - 1);
      const again = i > 0 && (s.indexOf(s[i]) < i || Math.abs(step) === 1);
      length += again ? 0.4 : 1;
    }
    const bits = length * Math.log2(signs || 1);
    strength.textContent = s ? strength.dataset[bits < 40 ? "weak" : bits < 60 ? "fair" : "strong"] : "";
  });
}
