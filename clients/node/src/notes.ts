// The records of the bulk upsert.
import { Record as Stored } from './generated/vecgate/v1/record.js';
import { integer, pack } from './values.js';

const BATCH_SIZE = 32;
const SENTENCES = [
  'The river flooded the lower fields.',
  'A violin needs a steady hand.',
  'Bread rises in a warm kitchen.',
  'The telescope found a new comet.',
  'Children learn to swim in summer.',
];

export function batchesOfNotes(records: number): Stored[][] {
  const notes = Array.from({ length: records }, (_, number) => note(number));
  return Array.from({ length: Math.ceil(records / BATCH_SIZE) }, (_, i) => notes.slice(BATCH_SIZE * i, BATCH_SIZE * (i + 1)));
}

function note(number: number): Stored {
  const id = `note-${String(number).padStart(5, '0')}`;
  const metadata = { number: integer(BigInt(number)) };
  // The one that is too short fails alone.
  if (number === 17) return { id, text: undefined, vector: pack([1, 2, 3]), metadata };
  return { id, text: `Note ${number}: ${SENTENCES[number % SENTENCES.length]}`, vector: undefined, metadata };
}
