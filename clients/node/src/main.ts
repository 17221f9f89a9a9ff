// A small complete program on vecgate's API: see README.md.
import { connect, waitUntilServing } from './connection.js';
import { askServer, makeCollection, meetRefusal, searchByText, searchByVector, upsert } from './steps.js';
import { Upload } from './upload.js';

const USAGE = 'usage: node build/main.js [host:port] [seconds to wait for the server] [records of the bulk upsert]';

async function run(address: string, seconds: number, records: number) {
  const client = connect(address);
  try {
    await waitUntilServing(client, address, seconds);
    return {
      server: await askServer(client),
      collection: await makeCollection(client),
      upserted: await upsert(client),
      by_text: await searchByText(client),
      by_vector: await searchByVector(client),
      refused: await meetRefusal(client),
      bulk: await new Upload(client, records).run(),
    };
  } finally {
    client.close();
  }
}

function isCount(text: string) {
  return Number.isSafeInteger(Number(text)) && Number(text) > 0;
}

const [address = 'localhost:50051', seconds = '10', records = '300', ...more] = process.argv.slice(2);
if (more.length > 0 || !(Number(seconds) > 0) || !isCount(records)) {
  console.error(`error: the seconds must be a number above 0, the records a whole one, and no argument follows\n${USAGE}`);
  process.exitCode = 2;
} else {
  try {
    console.log(JSON.stringify(await run(address, Number(seconds), Number(records))));
  } catch (error) {
    console.error(`error: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
