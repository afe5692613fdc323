// Takes the token out of the address, so that it is in no history and on no screen, and hands it in.
"use strict";
const token = new URLSearchParams(location.hash.slice(1)).get("token");
if (token) {
  history.replaceState(null, "", location.pathname);
  const form = document.getElementById("enter");
  form.elements.token.value = token;
  form.requestSubmit();
}
