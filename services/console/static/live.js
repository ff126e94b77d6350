"use strict";
// The changing part of a run's page, as the server says it; the browser connects again by itself.
const place = document.getElementById("standing");
const stream = new EventSource(place.dataset.live);
stream.onmessage = (event) => { place.innerHTML = JSON.parse(event.data); };
