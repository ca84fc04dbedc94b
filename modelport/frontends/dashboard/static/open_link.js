// The key of a shared link stands behind the # of its address, which browsers do not send. It goes on in a form, and leaves
// the address, so that it stays in no history and no bookmark.
const form = document.getElementById("link-form");
const token = location.hash.slice(1);
if (token) {
  history.replaceState(null, "", location.pathname);
  form.elements.token.value = token;
  form.requestSubmit();
}
