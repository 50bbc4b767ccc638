// What is wrong, and for whom the credentials are.

let refreshes = 0; // of the credentials that are drawn

function drawWrong({ diagnosis, job }) {
  $("wrong").hidden = !diagnosis;
  if (!diagnosis) return;
  text("cause", diagnosis.cause);
  text("fix", diagnosis.fix);
  text("wrong-id", diagnosis.id);
  text("resolved", job.state === "ended" ? "The job has ended." : RESOLVED[diagnosis.resolved_by]);
}

function drawIdentity({ identity, job, diagnosis }) {
  const { principal, pod, required, as_required, chain } = identity;
  const card = $("identity");
  card.dataset.provider = principal ? principal.provider : "none";
  card.classList.toggle("wrong", as_required === false || (!principal && job.state === "waiting" && Boolean(diagnosis)));
  text("provider", principal ? PROVIDERS[principal.provider] : "No credentials");
  const wanted = PROVIDERS[required] || required;
  text("required",
    as_required === false ? `✕ not the required identity, which is ${wanted}`
      : required === "any" ? "any identity is accepted"
        : as_required ? "✓ as required" : `${wanted} is required`);
  const names = [
    ["Role", principal && (principal.role || principal.arn)],
    ["Account", principal && principal.account],
    ["Namespace", pod && pod.namespace],
    ["Service account", pod && pod.service_account],
    ["Pod", (pod && pod.pod) || job.pod_name],
    ["Node", pod && pod.node],
    ["Session", principal && principal.session],
    ["Access key", principal && `…${principal.access_key_ending}`],
  ].filter(([, value]) => value);
  const key = JSON.stringify(names);
  if ($("names").dataset.key !== key) {
    $("names").dataset.key = key;
    $("names").replaceChildren(...names.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
  }
  const links = chain.map((each) => `${each.provider} ${each.state}`).join();
  if ($("chain").dataset.key !== links) {
    $("chain").dataset.key = links;
    $("chain").replaceChildren(...chain.map((each) => {
      const item = element("li", "", PROVIDERS[each.provider], element("span", "", STATES[each.state]));
      item.dataset.state = each.state;
      return item;
    }));
  }
  const error = identity.refreshes.error;
  $("refresh-error").hidden = !error;
  text("refresh-error", error ? `The last refresh failed${identity.usable ? "; the credentials in use are still valid" : ""}: ${error}` : "");
  if (identity.refreshes.success > refreshes) {
    if (refreshes > 0) {
      const ring = $("ring");
      ring.classList.remove("refreshed");
      void ring.offsetWidth; // starts the animation again
      ring.classList.add("refreshed");
      say("The credentials were refreshed.");
    }
    refreshes = identity.refreshes.success;
  }
}

/** The time that the credentials have left, as a ring that runs down. */
function drawExpiry(identity, at) {
  const { since, expires, refresh_due } = identity;
  const due = $("due");
  let fraction = 0, label = "no credentials yet";
  if (expires) {
    const left = expires - at;
    fraction = Math.min(1, Math.max(0, left / Math.max(1, expires - (since || at))));
    text("expiry", left > 0 ? `${duration(left).replaceAll(" ", "\u00a0")} left` : "expired");
    label = left > 0 ? `the credentials expire in ${duration(left)}` : "the credentials have expired";
  } else if (identity.principal) {
    fraction = 1;
    text("expiry", "no expiry");
    label = "the credentials do not expire";
  } else {
    text("expiry", "–");
  }
  $("left").setAttribute("stroke-dasharray", `${(fraction * 100).toFixed(2)} 100`);
  due.toggleAttribute("hidden", !refresh_due);
  if (refresh_due && since) due.setAttribute("transform", `rotate(${(360 * (expires - refresh_due)) / Math.max(1, expires - since)} 60 60)`);
  describe("ring", label);
  const { success, failure } = identity.refreshes;
  text("refresh", since
    ? `Received ${duration(at - since)} ago${success > 1 ? `, refreshed ${plural(success - 1, "time")}` : ""}${failure ? `, ${plural(failure, "request")} failed` : ""}.${refresh_due ? ` The refresh is due ${refresh_due > at ? `in ${duration(refresh_due - at)}` : "now"}.` : ""}`
    : failure ? `${plural(failure, "request")} for credentials failed.` : "");
}
