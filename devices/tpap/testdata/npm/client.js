// Signs in to a device that speaks TPAP, as iobroker.tapo does, and prints one line of JSON: what the device answered to a request, or
// what went wrong.
const [address, port, tls, email, password, mac, request] = process.argv.slice(2)
const Cipher = require('iobroker.tapo/build/lib/utils/tpapCipher.js').default
const axios = require('axios')
const https = require('https')

const log = { debug() {}, info() {}, error() {} }
const agent = new https.Agent({ rejectUnauthorized: false })

async function main() {
  const c = new Cipher(log, address, email, password, mac, Number(port), tls === 'true')
  const found = await axios.post(c.baseUrl, { method: 'login', params: { sub_method: 'discover' } }, { httpsAgent: agent })
  const { pake, user_hash_type } = found.data.result.tpap
  await c.handshake(pake, user_hash_type)
  const { data } = c.encrypt(request)
  const answer = await axios.post(c.sessionUrl, data, {
    headers: { 'Content-Type': 'application/octet-stream' }, responseType: 'arraybuffer', httpsAgent: agent,
  })
  return { answer: JSON.parse(c.decrypt(Buffer.from(answer.data))) }
}

main().catch((e) => ({ error: String(e) })).then((said) => {
  console.log(JSON.stringify(said))
  process.exit()
})
