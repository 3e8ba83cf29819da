// A hub of ../../PROTOCOL.md in one file, over MQTT, JOSE and HPKE libraries that others wrote. It enrols with the pairing word in its
// first argument, binds the device in its second, and signs it in at every epoch. It prints a line of JSON for each event. Its state is in
// memory; a real hub has it on disk before it acknowledges.
// Run where the packages of package.json are installed: node --input-type=module -e "$(cat hub.js)" hub WORD DEVICE
import { createHash, createHmac, generateKeyPairSync, hkdfSync, randomBytes, timingSafeEqual } from 'node:crypto'
import { CompactSign, compactVerify, importJWK } from 'jose'
import mqtt from 'mqtt'
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { Chacha20Poly1305 } from '@hpke/chacha20poly1305'

// Bytes, proofs and seals.
const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() })
const sha256 = (b) => createHash('sha256').update(b).digest()
const hmac = (key, b) => createHmac('sha256', key).update(b).digest()
const hkdf = (secret, salt, info) => Buffer.from(hkdfSync('sha256', secret, salt, info, 32))
const base64 = (b) => Buffer.from(b).toString('base64')
const bytes = (s) => Buffer.from(s ?? '', 'base64')
const whole = (b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength)
const same = (a, b) => a.length === b.length && a.length > 0 && timingSafeEqual(a, b)
const encode = (...parts) => Buffer.concat(parts.flatMap((p) => {
  const length = Buffer.alloc(4)
  length.writeUInt32BE(Buffer.byteLength(p))
  return [length, Buffer.from(p)]
}))
const sealTo = async (key, info, plain) => {
  const recipientPublicKey = await suite.kem.deserializePublicKey(whole(key))
  const { enc, ct } = await suite.seal({ recipientPublicKey, info: whole(info) }, whole(plain))
  return Buffer.concat([enc, ct].map((b) => Buffer.from(b)))
}
const openWith = async (key, info, sealed) =>
  Buffer.from(await suite.open({ recipientKey: key.privateKey, info: whole(info), enc: whole(sealed.subarray(0, 32)) }, whole(sealed.subarray(32))))
const newSeal = async () => {
  const { privateKey, publicKey } = await suite.kem.generateKeyPair()
  return { privateKey, public: Buffer.from(await suite.kem.serializePublicKey(publicKey)) }
}

// Names and signatures.
const nameOf = (role, sign) => {
  let bits = ''
  for (const b of sha256(sign)) bits += b.toString(2).padStart(8, '0')
  return role + '-' + bits.match(/.{5}/g).slice(0, 26).map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[parseInt(five, 2)]).join('')
}
const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const sign = Buffer.from(publicKey.export({ format: 'jwk' }).x, 'base64url')
const jws = (payload, typ) => new CompactSign(Buffer.from(JSON.stringify(payload))).setProtectedHeader({ alg: 'EdDSA', typ }).sign(privateKey)
const verify = async (text, typ) => {
  const { payload, protectedHeader: h } = await compactVerify(text, service.key, { algorithms: ['EdDSA'] })
  if (Object.keys(h).sort().join() !== 'alg,typ' || h.typ !== typ) throw new Error('header')
  return JSON.parse(Buffer.from(payload).toString())
}

// State: a real hub has it on disk.
const pairing = JSON.parse(Buffer.from(process.argv.at(-2).replace('rekeyd-pair:', ''), 'base64url'))
const device = process.argv.at(-1)
const account = pairing.account
const service = { sign: bytes(pairing.service.sign), seal: bytes(pairing.service.seal) }
service.name = nameOf('svc', service.sign)
service.key = await importJWK({ kty: 'OKP', crv: 'Ed25519', x: service.sign.toString('base64url') }, 'EdDSA')
const me = nameOf('hub', sign)
const seals = [await newSeal()] // the newest first; the one before stays until the service has answered
const secrets = {} // by epoch
const binding = randomBytes(32)
let chain = null // the newest notice: its epoch and hash, and the text
let [granted, acknowledged, signedIn] = [0n, 0n, 0n] // epochs
let [challenge, nonce] = [null, null]
let [enrolled, bound] = [false, false]

const report = (event) => console.log(JSON.stringify(event))
const hashOf = (notice) => base64(sha256(notice.slice(0, notice.lastIndexOf('.'))))
const openAny = async (info, sealed) => {
  for (const key of seals) {
    try { return await openWith(key, info, sealed) } catch { /* the other */ }
  }
  throw new Error('seal')
}

// follow checks a notice against the chain. It returns false for a gap.
const follow = async (text) => {
  const n = await verify(text, 'rekeyd-notice')
  const epoch = BigInt(n.epoch)
  if (n.account !== account) throw new Error('notice of another account')
  if (chain && epoch < chain.epoch) throw new Error('old notice')
  if (chain?.epoch === epoch && hashOf(text) !== hashOf(chain.text)) throw new Error('another notice of the epoch')
  if (chain && epoch > chain.epoch + 1n) return false
  if (chain && epoch === chain.epoch + 1n && n.prev !== hashOf(chain.text)) throw new Error('broken chain')
  chain = { epoch, text }
  return true
}

// One request at a time: it is repeated as it is until it is answered.
let [seq, pending] = [2n ** 32n, null]
const send = async (type, body, id = randomBytes(16).toString('hex')) => {
  const m = { type, id, from: me, to: service.name, seq: String(++seq), at: Date.now(), body: await body(id) }
  pending = { id, type, body: m.body, raw: await jws(m, 'rekeyd-message') }
  repeat()
}
const repeat = () => pending && client.publish(`rekeyd/v1/hub/${me}/outbox`, pending.raw, { qos: 1 })

const pairingProof = (role, keys) => hmac(pairing.secret, encode('rekeyd/v1/pairing', role, pairing.name, me, keys.sign, keys.seal))
const attempt = (role, id, b) => {
  const about = [account, me, device, b.epoch]
  const key = hkdf(secrets[b.epoch], binding, encode('rekeyd/v1/sign-in-key', ...about))
  return hmac(key, encode('rekeyd/v1/sign-in', role, ...about, id, bytes(b.member_nonce), bytes(b.service_nonce)))
}

// next sends the next request that is due.
const next = async (hello) => {
  if (pending) return
  if (!enrolled) {
    const keys = { sign, seal: seals[0].public }
    const shown = { name: 'JavaScript', version: '1', pairing: pairing.name, proof: base64(pairingProof('hub', keys)) }
    return send('enrol', () => ({ account, keys: { sign: base64(sign), seal: base64(keys.seal) }, ...shown }))
  }
  if (hello || !nonce || (!challenge && acknowledged < granted)) {
    return send('hello', () => ({ account, epoch: String(granted), notice: chain.text, boot: '1', clock: Math.round(performance.now()) }))
  }
  const epoch = String(granted)
  if (acknowledged < granted) {
    if (seals.length === 1) seals.unshift(await newSeal())
    const key = hkdf(secrets[epoch], challenge, encode('rekeyd/v1/key-proof-key', account, me, epoch))
    const proof = (id) => base64(hmac(key, encode('rekeyd/v1/key-proof', account, me, epoch, seals[0].public, id)))
    return send('ack', (id) => ({ account, epoch, seal: base64(seals[0].public), proof: proof(id) }))
  }
  if (!bound) {
    const sealed = await sealTo(service.seal, encode('rekeyd/v1/secrets', account, me), binding)
    return send('bind', () => ({ account, devices: [{ id: device, kind: 'plug', protocol: 'iot', rank: 1 }], secrets: base64(sealed) }))
  }
  if (signedIn < granted) {
    return send('sign-in', (id) => {
      const b = { account, epoch, member_nonce: base64(randomBytes(32)), service_nonce: nonce }
      return { ...b, devices: [{ id: device, proof: base64(attempt('member', id, b)) }] }
    })
  }
}

// The table of answers.
const handlers = {
  async enrolled(m) {
    const keys = { sign: bytes(m.body.keys.sign), seal: bytes(m.body.keys.seal) }
    if (!same(pairingProof('svc', keys), bytes(m.body.proof)) || !same(keys.sign, service.sign)) throw new Error('proof of the service')
    await follow(m.body.notice)
    enrolled = true
    client.subscribe(`rekeyd/v1/account/${account}/notice`, { qos: 1 })
  },
  async grant(m) {
    const n = await verify(m.body.notice, 'rekeyd-notice')
    const epoch = BigInt(n.epoch)
    if (epoch <= granted || n.account !== account || !(await follow(m.body.notice))) return
    const plain = JSON.parse(await openAny(encode('rekeyd/v1/grant', account, me, n.epoch), bytes(m.body.sealed)))
    secrets[n.epoch] = bytes(plain.secret)
    granted = epoch
    nonce = null // it was for the epoch before
    report({ event: 'granted', epoch: n.epoch, password: plain.password ?? '' })
  },
  async welcome(m) {
    if (m.body.seal === base64(seals[0].public)) seals.length = 1
    challenge = await openAny(encode('rekeyd/v1/challenge', account, me), bytes(m.body.challenge))
    nonce = m.body.nonce
  },
  async receipt(m, request) {
    if (request.type === 'bind') bound = !m.body.refused
    if (request.type !== 'ack') return
    acknowledged = BigInt(request.body.epoch)
    seals.length = 1
    challenge = null
  },
  async 'signed-in'(m, request) {
    nonce = m.body.nonce
    if (!m.body.devices.some((d) => d.id === device && same(attempt('service', request.id, request.body), bytes(d.proof)))) throw new Error('proof')
    signedIn = BigInt(request.body.epoch)
    report({ event: 'signed-in', epoch: request.body.epoch })
  },
  async refusal(m) {
    nonce = m.body.nonce ?? null // without a nonce: hello brings it
    report({ event: 'refused', code: m.body.code })
  },
}

const take = async (topic, raw) => {
  if (topic.endsWith('/notice')) return next(!(await follow(raw.toString())) || chain.epoch > granted)
  const m = await verify(raw.toString(), 'rekeyd-message')
  if (m.to !== me || m.from !== service.name) throw new Error('not for this hub')
  const request = pending?.id === m.re ? pending : null
  if (!handlers[m.type] || (!request && m.type !== 'grant')) return
  if (!request && m.exp && Date.now() > m.exp) return
  if (request && m.type !== 'grant') pending = null
  await handlers[m.type](m, request)
  await next()
}

const login = await jws({ name: me, sign: base64(sign) }, 'rekeyd-login')
const client = mqtt.connect(pairing.brokers[0].url, { clientId: me, username: me, password: login, clean: false, protocolVersion: 4 })
let queue = Promise.resolve() // one event at a time
const inOrder = (f) => { queue = queue.then(f).catch((err) => report({ event: 'dropped', why: err.message })) }
client.on('connect', () => client.subscribe(`rekeyd/v1/hub/${me}/inbox`, { qos: 1 }, () => inOrder(() => pending ? repeat() : next(true))))
client.on('message', (topic, raw) => inOrder(() => take(topic, raw)))
setInterval(() => inOrder(() => pending ? repeat() : next()), 1000)
setInterval(() => inOrder(() => next(true)), 15 * 60_000)
process.stdin.on('end', () => process.exit(0)).resume()
