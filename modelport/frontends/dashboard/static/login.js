// Who looks at a link without running scripts (a preview in a chat) does not use its code up; a person need not press.
document.getElementById("code-form")?.requestSubmit();
