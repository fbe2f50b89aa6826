/** One picture from the camera: the middle square of what it sees. */

/** Show the camera in a dialog; the picture that was taken, or null. Rejects where there is no camera. */
export async function photograph(dialog: HTMLDialogElement): Promise<Blob | null> {
  const stream = await navigator.mediaDevices.getUserMedia({
    video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 1280 } },
  });
  const video = dialog.querySelector("video") as HTMLVideoElement;
  video.srcObject = stream;
  dialog.showModal();
  try {
    return await new Promise((resolve) => {
      const take = dialog.querySelector("#take") as HTMLButtonElement;
      take.onclick = () => resolve(middleSquare(video));
      (dialog.querySelector("#leave") as HTMLButtonElement).onclick = () => resolve(null);
      dialog.oncancel = () => resolve(null);
    });
  } finally {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
    dialog.close();
  }
}

function middleSquare(video: HTMLVideoElement): Promise<Blob> {
  const { videoWidth: width, videoHeight: height } = video;
  const side = Math.min(width, height);
  const sheet = new OffscreenCanvas(side, side);
  sheet.getContext("2d")?.drawImage(video, (side - width) / 2, (side - height) / 2);
  return sheet.convertToBlob({ type: "image/png" });
}
