// ReDoc over this gateway's document, in the colours of the other pages.
"use strict";

(() => {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const [text, muted, line, surface] = ["text", "muted", "line", "surface"].map(colour);

  Redoc.init(
    "/openapi.json",
    {
      sanitize: true,
      nativeScrollbars: true,
      scrollYOffset: ".top",
      theme: {
        colors: {
          primary: { main: colour("accent") },
          success: { main: colour("good") },
          warning: { main: colour("warn") },
          error: { main: colour("bad") },
          text: { primary: text, secondary: muted },
          border: { dark: line, light: line },
        },
        schema: { linesColor: line, nestedBackground: surface },
        sidebar: { backgroundColor: surface, textColor: text },
        typography: {
          fontFamily: "inherit",
          headings: { fontFamily: "inherit" },
          code: { fontFamily: colour("mono"), color: text, backgroundColor: surface },
        },
      },
    },
    document.getElementById("openapi"),
  );

  // Its colours are computed once.
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => location.reload());
})();
