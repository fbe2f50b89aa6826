/** The script of the page. Under Node, where there is no page, it only gives the reader away. */

import * as reader from "./reader";

Object.assign(globalThis, { kalamos: reader });
if (typeof document !== "undefined") void import("./main");
