// Draws the charts of the page from the JSON beside it. Nothing is fetched: everything is in this file.
(function () {
  "use strict";
  const page = JSON.parse(document.getElementById("charts").textContent);
  const NARROW = 620;
  let printing = false;

  function ink() {
    return printing ? "#000000" : getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();
  }

  function draw(place, chart) {
    const layout = structuredClone(chart.figure.layout);
    layout.font.color = ink();
    if (place.clientWidth < NARROW) {
      // On a phone the legend takes a line an entry: give it room, and not at the cost of the chart.
      const entries = chart.figure.data.filter((trace) => trace.showlegend !== false).length;
      layout.height += 20 * Math.max(0, entries - 4);
      layout.font.size = 12;
    }
    place.style.height = layout.height + "px";
    place.setAttribute("aria-label", chart.alt);
    Plotly.react(place, structuredClone(chart.figure.data), layout, page.config);
  }

  function chosen() {
    const radio = document.querySelector("input[name=metric]:checked");
    return radio ? radio.value : null;
  }

  function drawAll() {
    for (const place of document.querySelectorAll("[data-chart]")) {
      draw(place, page.charts[place.dataset.chart]);
    }
    const metric = chosen();
    if (metric !== null) {
      const chart = page.metrics[metric];
      draw(document.getElementById("growth"), chart);
      document.getElementById("caption").textContent = chart.caption;
      document.getElementById("crossings").replaceChildren(
        ...chart.crossings.map((sentence) => {
          const item = document.createElement("li");
          item.textContent = sentence;
          return item;
        })
      );
    }
  }

  document.addEventListener("change", (event) => {
    if (event.target.name === "metric") drawAll();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { printing = true; drawAll(); });
  addEventListener("afterprint", () => { printing = false; drawAll(); });

  document.getElementById("save").addEventListener("click", () => {
    const report = document.getElementById("report").textContent;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([report], { type: "application/json" }));
    link.download = page.file;
    link.click();
    URL.revokeObjectURL(link.href);
  });

  drawAll();
})();
