/** The reader without the page: for its tests under Node, and for pages of one's own. */

export { classFolder, cropsOf, filesOf } from "./crops";
export { TaughtReader, embedFamily, familyOf, othersOf } from "./own_alphabet";
export { NoInk, lookForInk } from "./preprocess";
export { Embedder, Recognizer, openInkNetwork, setRuntime } from "./recognizer";
export { teach } from "./teach";
export { unzip, zip } from "./zip";
