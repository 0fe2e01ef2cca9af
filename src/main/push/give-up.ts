/** Why `varve push` ends by itself, and with which exit code. */

export const EXIT_CODES = { refusedLines: 2, tokenRefused: 3, spoolFull: 4 } as const;

/** Thrown where it would wait otherwise, if it was asked to give up. */
export class GiveUp extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
