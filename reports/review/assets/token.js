// Takes the ticket out of the address and hands it in.
"use strict";
const ticket = new URLSearchParams(location.hash.slice(1)).get("once");
if (ticket) {
  history.replaceState(null, "", location.pathname);
  const form = document.getElementById("enter");
  form.elements.token.value = ticket;
  form.requestSubmit();
}
