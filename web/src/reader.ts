/** The reader without the page: for its tests under Node, and for pages of one's own. */

export { NoInk, lookForInk } from "./preprocess";
export { Embedder, Recognizer, openInkNetwork, setRuntime } from "./recognizer";
