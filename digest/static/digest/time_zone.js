// Fill the hidden time zone of sign-up forms with the browser's; the default is UTC. On the
// preferences page, offer it where the reader's zone differs.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone || "";
for (const field of document.querySelectorAll("input[type=hidden][name=zone]")) {
  field.value = zone;
}
const offer = document.getElementById("guessed-zone");
const entered = document.querySelector("input[type=text][name=zone]");
if (zone && offer && entered && entered.value !== zone) {
  offer.textContent = `Use ${zone}, the zone of this device`;
  offer.hidden = false;
  offer.addEventListener("click", () => {
    entered.value = zone;
    entered.dispatchEvent(new Event("change", { bubbles: true }));
    offer.hidden = true;
  });
}
