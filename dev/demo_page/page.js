import { HsmSignerError, hsmSigner } from "/client.js";
import { PdfError } from "./pdf_error.js";
import { SAMPLE_RECTANGLE, samplePdf } from "./sample_pdf.js";
import { signFile } from "./sign_file.js";
import { describeFacts, describeReport, durationShown, STEPS, sizeShown } from "./words.js";

/**
 * The demo page: what people do, and what they see of it. All that is to be seen in files and signatures is elsewhere.
 *
 * @import { PlaceholderOptions } from "./pdf_placeholder.d.ts"
 * @import { SignedFile, Step } from "./sign_file.js"
 *
 * @typedef {{ file: Blob, name: string, placeholder: PlaceholderOptions }} Task
 */

/**
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {{ new (): T }} [type]
 * @returns {T}
 */
function find(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof (type ?? HTMLElement))) throw new Error(`The page has no ${id}`);
  return /** @type {T} */ (element);
}

const page = {
  choose: find("choose"),
  working: find("working"),
  failed: find("failed"),
  signed: find("signed"),
  file: find("file", HTMLInputElement),
  credential: find("credential", HTMLSelectElement),
  download: find("download", HTMLAnchorElement),
  status: find("status"),
};
const steps = new Map(
  [...find("steps").querySelectorAll("li")].map((item) => [/** @type {Step} */ (item.dataset["step"]), item]),
);

class Page {
  /** @type {Task | undefined} */
  #task;
  #controller = new AbortController();
  #stepStart = 0;

  start() {
    page.file.addEventListener("change", () => this.#pick(page.file.files?.[0]));
    find("sample").addEventListener("click", () => this.#pickSample());
    find("cancel").addEventListener("click", () => this.#controller.abort());
    find("retry").addEventListener("click", () => this.#sign());
    for (const id of ["back", "another"]) find(id).addEventListener("click", () => this.#reset());
    this.#acceptDrops();
    // A dropped file that misses the place would take the page away.
    for (const type of ["dragover", "drop"])
      document.addEventListener(type, (event) => event.preventDefault());
    void askService();
  }

  #acceptDrops() {
    const { choose } = page;
    choose.addEventListener("dragover", () => choose.classList.add("over"));
    choose.addEventListener("dragleave", () => choose.classList.remove("over"));
    choose.addEventListener("drop", (event) => {
      choose.classList.remove("over");
      this.#pick(event.dataTransfer?.files[0]);
    });
  }

  /** @param {File | undefined} file */
  #pick(file) {
    // The same file may be chosen again.
    const task = file && { file, name: file.name, placeholder: {} };
    page.file.value = "";
    if (task === undefined) return;
    this.#task = task;
    void this.#sign();
  }

  async #pickSample() {
    const file = new Blob([await samplePdf()]);
    const placeholder = { rectangle: SAMPLE_RECTANGLE, reason: "I agree" };
    this.#task = { file, name: "sample.pdf", placeholder };
    void this.#sign();
  }

  async #sign() {
    const task = this.#task;
    if (task === undefined) return;
    this.#controller = new AbortController();
    const { signal } = this.#controller;
    for (const item of steps.values()) clearStep(item);
    find("working-title").textContent = `Signing ${task.name}, ${sizeShown(task.file.size)}`;
    show("working");
    const credential = page.credential.value;
    const sign = hsmSigner({ url: "/sign", signal, ...(credential === "" ? {} : { credential }) });
    try {
      this.#showSigned(task, await signFile({ ...task, sign, signal, onStep: this.#onStep }));
    } catch (error) {
      if (signal.aborted) this.#reset();
      else showFailure(error);
    }
    // Whether it was the service or the file, what is said above shall be true.
    void askService();
  }

  /** @type {(step: Step, part?: number) => void} */
  #onStep = (step, part) => {
    const item = steps.get(step);
    if (item === undefined) return;
    const bar = item.querySelector("progress");
    if (part !== undefined) {
      if (bar) bar.value = part;
      return;
    }
    this.#endStep();
    item.dataset["state"] = "now";
    item.setAttribute("aria-current", "step");
    this.#stepStart = performance.now();
    page.status.textContent = STEPS[step];
  };

  #endStep() {
    for (const item of steps.values()) {
      if (item.dataset["state"] !== "now") continue;
      clearStep(item);
      item.dataset["state"] = "done";
      item.append(element("span", durationShown(performance.now() - this.#stepStart), "took"));
    }
  }

  /**
   * @param {Task} task
   * @param {SignedFile} result
   */
  #showSigned(task, { file, report, hash }) {
    this.#endStep();
    const { title, text } = describeReport(report);
    find("verdict").dataset["state"] = report.isVerified ? "good" : "bad";
    find("signed-title").textContent = title;
    find("signed-text").textContent = text;
    URL.revokeObjectURL(page.download.href);
    page.download.href = URL.createObjectURL(file);
    page.download.download = task.name.replace(/(\.pdf)?$/i, ".signed.pdf");
    page.download.classList.toggle("primary", report.isVerified);
    page.download.textContent = `Download ${page.download.download}`;
    find("facts").replaceChildren(
      ...describeFacts(report, hash).flatMap(({ name, value, note, isDigits }) => {
        const description = element("dd", value, isDigits ? "digits" : "");
        if (note !== undefined) description.append(element("small", note));
        return [element("dt", name), description];
      }),
    );
    find("checks").replaceChildren(
      ...report.checks.map(({ holds, sentence }) => {
        const item = element("li");
        item.dataset["holds"] = String(holds);
        item.append(element("span", sentence));
        return item;
      }),
    );
    find("unchecked").replaceChildren(
      ...report.unchecked.map((sentence) => {
        const item = element("li");
        item.append(element("span", sentence));
        return item;
      }),
    );
    show("signed");
    page.status.textContent = title;
  }

  #reset() {
    this.#task = undefined;
    show("choose");
    page.file.focus();
  }
}

/** @param {HTMLElement} item */
function clearStep(item) {
  delete item.dataset["state"];
  item.removeAttribute("aria-current");
  item.querySelector(".took")?.remove();
}

/** @param {unknown} error */
function showFailure(error) {
  const isKnown = error instanceof PdfError || error instanceof HsmSignerError;
  find("failed-text").textContent = isKnown ? error.message : `Something went wrong here: ${error}`;
  find("failed-code").textContent =
    error instanceof HsmSignerError
      ? [error.code, error.status, error.requestId && `request ${error.requestId}`].filter(Boolean).join(", ")
      : "";
  find("retry").hidden = error instanceof PdfError;
  show("failed");
}

/**
 * Shows one part of the page, and puts the focus there.
 *
 * @param {"choose" | "working" | "failed" | "signed"} name
 */
function show(name) {
  find("intro").hidden = name !== "choose";
  for (const part of /** @type {const} */ (["choose", "working", "failed", "signed"]))
    page[part].hidden = part !== name;
  if (name !== "choose") find(`${name}-title`).focus({ preventScroll: name === "working" });
}

/** What the service says of itself, and the choice among its credentials where it has several. */
async function askService() {
  const [chip, text] = [find("service"), find("service-text")];
  try {
    const response = await fetch("/readyz", { cache: "no-store" });
    const facts = await response.json();
    chip.dataset["state"] = response.ok ? "ready" : "away";
    text.textContent = response.ok
      ? `Ready: ${facts.algorithm ?? "it signs"}`
      : (facts.detail ?? "Not ready");
    const credentials = facts.credentials ?? [];
    find("credential-row").hidden = credentials.length < 2;
    if (page.credential.options.length === credentials.length) return;
    page.credential.replaceChildren(
      ...credentials.map(
        (/** @type {{ credential: string, algorithm: string }} */ { credential, algorithm }) => {
          return new Option(`${credential} (${algorithm})`, credential);
        },
      ),
    );
  } catch {
    chip.dataset["state"] = "away";
    text.textContent = "The service is away";
  }
}

/**
 * @param {string} name
 * @param {string} [text]
 * @param {string} [className]
 */
function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  made.className = className;
  return made;
}

new Page().start();
