/** What the page says, in English and Arabic. */

export type Language = "en" | "ar";

const en = {
  language: "العربية",
  lead: "Draw a character, drop a picture of one, or photograph it: it is read here, on your own device.",
  models: "What to read",
  digits: "Digits",
  latin: "Latin",
  arabic: "Arabic",
  write: "Write",
  pad: "Drawing pad",
  padKeys: "Arrow keys move the pen, Space puts it down or lifts it, Delete clears, Control and Z undoes.",
  hint: "Draw here",
  drop: "Let go to read it",
  tools: "Drawing tools",
  tool: "Tool",
  pen: "Pen",
  eraser: "Eraser",
  width: "Width of the pen",
  undo: "Undo",
  clear: "Clear",
  open: "Picture",
  paste: "Paste",
  camera: "Camera",
  take: "Take the picture",
  cancel: "Cancel",
  layout: "What is on it",
  one: "One character",
  page: "A whole page",
  pageRead: "{count} characters, {doubtful} of them doubtful",
  answer: "Answer",
  candidates: "Candidates",
  seen: "What the model saw",
  privacy: "Nothing leaves this page: no server, no cookies, no requests.",
  waiting: "Waiting for a character",
  loading: "Opening the reader…",
  readAs: "Read as {label}, {percent}",
  isCharacter: "A character: {percent}",
  notCharacter: "Not a character",
  several: "Several characters: choose “A whole page”",
  notSure: "Not sure enough",
  noInk: "No ink found",
  noPicture: "This file is no picture that the browser can open",
  tooLarge: "The picture is too large",
  pasteKeys: "There is no picture to paste: copy one first, or press Ctrl V",
  noCamera: "There is no camera to use",
  failed: "The reader could not be opened: {reason}",
  timing: "Read in {ms} ms",
  own: "My alphabet",
  ownFew: "Keep samples of two characters, then it reads them",
  character: "Character",
  keep: "Keep as a sample",
  keepKey: "Enter keeps the drawing as a sample of the character that the field names.",
  keepNothing: "Draw the character first",
  keepUnnamed: "Name the character first",
  kept: "Kept: sample {count} of {label}",
  samplesLead:
    "Draw a character, name it, keep it. One sample of each is enough to begin, five are good. They stay in this browser alone.",
  notKept: "This browser keeps nothing: download the samples before you close the page.",
  count: "Characters: {characters}, samples: {samples}",
  addPictures: "Add pictures",
  rename: "Rename",
  renameLead: "Another name for {label}",
  renamed: "{label} is now {next}",
  save: "Save",
  remove: "Delete",
  removeSample: "Delete sample {number} of {label}",
  removed: "Deleted of {label}: {count}",
  undone: "Undone",
  openSamples: "Open samples",
  saveSamples: "Download samples",
  forget: "Delete all",
  forgotten: "All samples are deleted",
  alphabetName: "Name of the alphabet",
  savePage: "Download as a page",
  saved: "Downloaded: {name}",
  working: "Reading the pictures…",
  added: "Samples added: {count}; pictures without ink or not readable: {passed}",
  noArchive: "The archive cannot be read: {reason}",
  noRoom: "The browser has no room to keep it: download the samples before you close the page.",
  notDone: "This could not be done: {reason}",
};

export type Text = keyof typeof en;

const ar: Record<Text, string> = {
  language: "English",
  lead: "ارسم حرفًا، أو أسقِط صورته هنا، أو التقطه بالكاميرا: تتم قراءته على جهازك أنت.",
  models: "ما الذي يُقرأ",
  digits: "أرقام",
  latin: "لاتينية",
  arabic: "عربية",
  write: "الكتابة",
  pad: "لوحة الرسم",
  padKeys: "مفاتيح الأسهم تحرّك القلم، ومفتاح المسافة يضعه أو يرفعه، وDelete يمسح، وCtrl مع Z للتراجع.",
  hint: "ارسم هنا",
  drop: "أفلِت الصورة لتُقرأ",
  tools: "أدوات الرسم",
  tool: "الأداة",
  pen: "قلم",
  eraser: "ممحاة",
  width: "سُمك القلم",
  undo: "تراجع",
  clear: "مسح",
  open: "صورة",
  paste: "لصق",
  camera: "كاميرا",
  take: "التقط الصورة",
  cancel: "إلغاء",
  layout: "ما عليها",
  one: "حرف واحد",
  page: "صفحة كاملة",
  pageRead: "عدد الأحرف {count}، منها {doubtful} غير مؤكدة",
  answer: "الجواب",
  candidates: "الاحتمالات",
  seen: "ما رآه النموذج",
  privacy: "لا شيء يغادر هذه الصفحة: لا خادم ولا ملفات ارتباط ولا طلبات.",
  waiting: "بانتظار حرف",
  loading: "يُفتح القارئ…",
  readAs: "قُرئ {label}، بثقة {percent}",
  isCharacter: "أنه حرف: {percent}",
  notCharacter: "ليس حرفًا",
  several: "عدة أحرف: اختر «صفحة كاملة»",
  notSure: "الثقة غير كافية",
  noInk: "لم يُعثر على حبر",
  noPicture: "لا يستطيع المتصفح فتح هذا الملف صورةً",
  tooLarge: "الصورة كبيرة جدًا",
  pasteKeys: "لا صورة للصقها: انسخ صورة أولًا، أو اضغط Ctrl V",
  noCamera: "لا توجد كاميرا متاحة",
  failed: "تعذّر فتح القارئ: {reason}",
  timing: "قُرئ في {ms} مللي ثانية",
  own: "أبجديتي",
  ownFew: "احتفظ بعينات لحرفين، ثم تُقرأ",
  character: "الحرف",
  keep: "احتفظ به عينةً",
  keepKey: "مفتاح Enter يحتفظ بالرسم عينةً للحرف المكتوب في الحقل.",
  keepNothing: "ارسم الحرف أولًا",
  keepUnnamed: "سمِّ الحرف أولًا",
  kept: "حُفظت العينة {count} من {label}",
  samplesLead: "ارسم حرفًا وسمِّه واحتفظ به. تكفي للبدء عينة واحدة لكل حرف، وخمس عينات جيدة. تبقى في هذا المتصفح وحده.",
  notKept: "هذا المتصفح لا يحتفظ بشيء: نزّل العينات قبل إغلاق الصفحة.",
  count: "الأحرف: {characters}، العينات: {samples}",
  addPictures: "أضف صورًا",
  rename: "تسمية",
  renameLead: "اسم آخر للحرف {label}",
  renamed: "أصبح اسم {label} الآن {next}",
  save: "حفظ",
  remove: "حذف",
  removeSample: "احذف العينة {number} من {label}",
  removed: "حُذف من {label}: {count}",
  undone: "تم التراجع",
  openSamples: "افتح عينات",
  saveSamples: "نزّل العينات",
  forget: "احذف الكل",
  forgotten: "حُذفت كل العينات",
  alphabetName: "اسم الأبجدية",
  savePage: "نزّلها صفحةً",
  saved: "تم التنزيل: {name}",
  working: "تُقرأ الصور…",
  added: "عينات أُضيفت: {count}، وصور بلا حبر أو لا تُقرأ: {passed}",
  noArchive: "تعذّرت قراءة الأرشيف: {reason}",
  noRoom: "لا مكان في المتصفح لحفظها: نزّل العينات قبل إغلاق الصفحة.",
  notDone: "تعذّر ذلك: {reason}",
};

const ALL: Record<Language, Record<Text, string>> = { en, ar };

let current: Language = "en";

export function language(): Language {
  return current;
}

export function say(text: Text, values: Record<string, string | number> = {}): string {
  return ALL[current][text].replace(/\{(\w+)\}/g, (_, key: string) => String(values[key]));
}

export function percent(share: number): string {
  // Never 100 % for what is not certain, nor 0 % for what is possible.
  const shown = Math.min(Math.max(share, 0.001), 0.999);
  const maximumFractionDigits = shown > 0.99 || shown < 0.01 ? 1 : 0;
  const text = new Intl.NumberFormat(current, { style: "percent", maximumFractionDigits }).format(shown);
  return shown > share ? `<\u2009${text}` : text;
}

/** Set the page's language and direction, and every text that the markup names. */
export function speak(chosen: Language): void {
  current = chosen;
  document.documentElement.lang = chosen;
  document.documentElement.dir = chosen === "ar" ? "rtl" : "ltr";
  for (const element of document.querySelectorAll<HTMLElement>("[data-text]")) {
    element.textContent = say(element.dataset["text"] as Text);
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset["label"] as Text));
  }
  for (const element of document.querySelectorAll<HTMLElement>("[data-title]")) {
    element.title = say(element.dataset["title"] as Text);
    element.setAttribute("aria-label", element.title);
  }
}
