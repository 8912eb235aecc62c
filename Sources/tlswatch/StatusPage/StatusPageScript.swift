extension StatusPage {
    /// SHA-256 of `script`, base64: the content security policy lets nothing else run. A test computes it anew.
    static let scriptHash = "ffjzxZd81KpzI/SkdfhtLTlkaTLP4nxopUiL6ZBXcDQ="

    /// Fetches the page again every second and puts its figures in place of those shown. The age of the figures is
    /// always told: they count as stale from the moment that the daemon's own time stops moving.
    static let script = #"""
        "use strict";
        (() => {
          const find = (id) => document.getElementById(id);
          const text = find("state-text"), clock = find("clock"), alarm = find("alarm");
          let changed = performance.now(), failure = "", busy = false;

          // Replacing the page under a reader who selects text would take the text away.
          const held = () => {
            const selection = getSelection();
            return !selection.isCollapsed && find("main").contains(selection.anchorNode);
          };

          const replace = (page) => {
            const old = find("main"), next = page.getElementById("main"), time = page.getElementById("clock");
            if (!next || !time) throw new Error("the answer is not from tlswatch");
            if (page.documentElement.dataset.version !== document.documentElement.dataset.version) {
              location.reload();
              return;
            }
            if (next.dataset.time !== old.dataset.time) changed = performance.now();
            for (const open of old.querySelectorAll("details[open] > summary"))
              page.getElementById(open.id)?.parentElement.setAttribute("open", "");
            const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
            const [x, y] = [scrollX, scrollY];
            old.replaceWith(document.adoptNode(next));
            clock.replaceChildren(time.textContent);
            clock.title = time.title;
            if (focus) find(focus)?.focus({ preventScroll: true });
            scrollTo(x, y);
          };

          const show = () => {
            const age = Math.round((performance.now() - changed) / 1000);
            const stale = age > 3 && !held();
            document.documentElement.className = stale ? "stale" : "live";
            const words = stale ? `stale, ${age} s old, as of` : held() ? "paused while text is selected, as of" : "live, as of";
            if (text.textContent !== words) text.textContent = words;
            const told = stale ? failure || "The daemon responds, but its figures no longer change." : "";
            if (alarm.textContent !== told) alarm.textContent = told;
            alarm.hidden = !told;
          };

          const refresh = async () => {
            if (document.hidden || busy || held()) return;
            busy = true;
            try {
              const answer = await fetch(location.pathname + location.search, { cache: "no-store", signal: AbortSignal.timeout(3000) });
              // A question that cannot be answered has its page, too.
              if (!answer.ok && answer.status !== 400) throw new Error(`status ${answer.status}`);
              replace(new DOMParser().parseFromString(await answer.text(), "text/html"));
              failure = "";
            } catch (error) {
              failure = `The daemon does not respond (${error.message}). These are its last figures.`;
            }
            busy = false;
            show();
          };

          document.addEventListener("visibilitychange", refresh);
          setInterval(() => { if (!document.hidden) { show(); refresh(); } }, 1000);
          show();
        })();
        """#
}
