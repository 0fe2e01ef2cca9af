/** The thread that reads the files of one recording, and ends. */
import { answerAsThread } from '../../storage/threads/run-in-thread.ts';
import { decodeFiles } from './decode-files.ts';

await answerAsThread(decodeFiles);
