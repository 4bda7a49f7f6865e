// Swagger UI over this gateway's document. A key is in the memory of the page alone, and gone when it is left.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", paint);
  paint();

  SwaggerUIBundle({
    domNode: document.getElementById("openapi"),
    url: "/openapi.json",
    deepLinking: true,
    defaultModelsExpandDepth: 0,
    displayRequestDuration: true,
    persistAuthorization: false,
    validatorUrl: null,
    // The document names the public address, and a page may be read at another: requests go where the page is from.
    requestInterceptor: (request) => {
      const { pathname, search } = new URL(request.url, location.href);
      request.url = location.origin + pathname + search;
      return request;
    },
  });
})();
