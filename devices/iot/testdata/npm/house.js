// Plays devices with tplink-smarthome-simulator: argv[2] is a list of {model, address, username, password}. It prints
// "ready" once all listen, answers each line on standard input with what every device's cloud module holds and what was called
// there, and ends with standard input.
'use strict';
const { Device } = require('tplink-smarthome-simulator');
const readline = require('readline');

const cloudOf = (d) => d.data.cnCloud || d.data['smartlife.iot.common.cloud'];

async function main() {
  const devices = [];
  for (const want of JSON.parse(process.argv[2])) {
    const d = new Device({ model: want.model, address: want.address, port: 9999, alias: 'npm ' + want.model });
    const cloud = cloudOf(d);
    Object.assign(cloud.info, { username: want.username, binded: want.username ? 1 : 0 });
    const calls = [];
    const api = d.api['smartlife.iot.common.cloud'] || d.api.cnCloud;
    for (const method of ['unbind', 'bind']) {
      const real = api[method];
      api[method] = (args) => { calls.push({ method, ...args }); return real(args); };
    }
    devices.push({ want, d, calls });
  }
  for (const { d } of devices) await d.start();
  process.stdout.write('ready\n');
  for await (const _ of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(devices.map(({ want, d, calls }) => (
      { model: want.model, username: cloudOf(d).info.username, binded: cloudOf(d).info.binded, calls }))) + '\n');
  }
  process.exit(0);
}

main().catch((err) => { console.error(err); process.exit(1); });
