// Signs in to a device as iobroker.tapo does, the older handshake first, and prints one line of JSON: the responses to one
// multipleRequest, or what went wrong.
const [address, email, password, ...methods] = process.argv.slice(2)
const P100 = require('iobroker.tapo/build/lib/utils/p100.js').default

const log = { debug() {}, info() {}, warn() {}, error() {} }

async function main() {
  const device = new P100(log, address, email, password, 10)
  device.is_klap = false
  await device.handshake()
  if (!device.is_klap) throw new Error('the device does not state that it speaks KLAP')
  await device.handshake_new()
  const requests = methods.map((method) => ({ method }))
  const { responses } = await device.sendCommand('multipleRequest', { requests })
  return { responses }
}

main().catch((e) => ({ error: String(e) })).then((read) => {
  console.log(JSON.stringify(read))
  process.exit()
})
