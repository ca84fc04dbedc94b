// Starts Swagger UI on the document that the page names. Where the server wants a token it asks for it, keeps it for
// this tab, and sends it with every request; in the dashboard (data-session) the browser has signed in and needs none.
"use strict";

(function () {
  const place = document.getElementById("swagger-ui");
  const address = new URL(place.dataset.document, location.href);
  const KEY = "modelport-token";
  const LISTED = 150;
  const session = place.dataset.session !== undefined;

  // Swagger UI has dark colours, and leaves it to the page to say when.
  const dark = matchMedia("(prefers-color-scheme: dark)");
  function colour() {
    const page = document.documentElement;
    page.classList.toggle("dark-mode", page.dataset.theme ? page.dataset.theme === "dark" : dark.matches);
  }
  new MutationObserver(colour).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  dark.addEventListener("change", colour);
  colour();

  function headers() {
    // Over plain http, a browser does not say which page asks; another page cannot set this header.
    if (session) return isSecureContext ? {} : { "X-Modelport-Page": "1" };
    const token = sessionStorage.getItem(KEY);
    return token ? { Authorization: "Bearer " + token } : {};
  }

  function withToken(request) {
    if (new URL(request.url, location.href).origin === location.origin) {
      const given = Object.keys(request.headers || {}).some((name) => name.toLowerCase() === "authorization");
      if (!given) request.headers = Object.assign({}, request.headers, headers());
    }
    return request;
  }

  // In a form of OpenAPI 3.1, Swagger UI makes up a value for every field that has no default ("string", 0), and sends
  // a field that is empty. Here such a field stays empty and is not sent, unless its box is ticked.
  const noMadeUpValues = {
    afterLoad: function () {
      const sample = this.fn.getSampleSchema;
      this.fn.getSampleSchema = function (schema, mediaType) {
        if (mediaType !== false) return sample.apply(this, arguments); // not a form's field: an example to look at
        const known = (schema && schema.toJS ? schema.toJS() : schema) || {};
        const value = known.default;
        if (value !== undefined && value !== null) return typeof value === "object" ? JSON.stringify(value) : value;
        return known.type === "array" || (known.type || []).includes("array") ? "[]" : "";
      };
    },
    wrapComponents: {
      ParameterIncludeEmpty: (Original, system) => (props) => {
        const options = Object.assign({}, props.isIncludedOptions, { defaultValue: false });
        return system.React.createElement(Original, Object.assign({}, props, { isIncludedOptions: options }));
      },
    },
  };

  function show(spec) {
    SwaggerUIBundle({
      spec: spec,
      domNode: place,
      // Its links lie inside buttons, where keys and screen readers do not reach them; the dashboard does without.
      deepLinking: !session,
      // Drawing hundreds of operations takes a browser seconds: of many models, only the groups.
      docExpansion: Object.keys(spec.paths || {}).length > LISTED ? "none" : "list",
      displayRequestDuration: true,
      validatorUrl: null, // or the document would be sent to a validator on the internet
      presets: [SwaggerUIBundle.presets.apis],
      plugins: [noMadeUpValues],
      layout: "BaseLayout",
      requestInterceptor: withToken,
    });
  }

  function say(text) {
    const line = document.createElement("p");
    line.className = "wrapper";
    line.textContent = text;
    place.replaceChildren(line);
  }

  function ask(text) {
    say(text);
    const form = document.createElement("form");
    form.className = "wrapper swagger-ui";
    const field = document.createElement("input");
    field.type = "password";
    field.autocomplete = "current-password";
    field.setAttribute("aria-label", "Token");
    const button = document.createElement("button");
    button.className = "btn";
    button.textContent = "Show";
    form.append(field, button);
    form.addEventListener("submit", function (event) {
      event.preventDefault();
      sessionStorage.setItem(KEY, field.value.trim());
      load();
    });
    place.append(form);
    field.focus();
  }

  async function load() {
    try {
      const answer = await fetch(address, { headers: headers() });
      if (answer.status === 401 && session) {
        say("You have been signed out. Load this page again to sign in.");
      } else if (answer.status === 401) {
        const wrong = sessionStorage.getItem(KEY) !== null;
        sessionStorage.removeItem(KEY);
        ask(wrong ? "The server does not accept this token." : "This server asks for a token:");
      } else if (!answer.ok) {
        say("The document cannot be read: " + (await answer.text()));
      } else {
        place.replaceChildren();
        show(await answer.json());
      }
    } catch (error) {
      say("The document cannot be read: " + error);
    }
  }

  load();
})();
