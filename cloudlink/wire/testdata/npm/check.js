// The link protocol of ../../../PROTOCOL.md a second time, over cryptography that others wrote, to check ../vectors.json with.
// Run where the packages of package.json are installed: node --input-type=module -e "$(cat check.js)" vectors.json
import { readFileSync } from 'node:fs'
import { CipherSuite, DhkemX25519HkdfSha256, HkdfSha256 } from '@hpke/core'
import { Chacha20Poly1305 } from '@hpke/chacha20poly1305'
import { ed25519 } from '@noble/curves/ed25519.js'
import { hkdf } from '@noble/hashes/hkdf.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'

const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Chacha20Poly1305() })

// A value to encode is [type, value]; a type is a word, or for a structure the list of its fields, each [name, type].
const utf8 = (s) => new TextEncoder().encode(s)
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, 'hex'))
const hex = (b) => Buffer.from(b).toString('hex')
const uint32 = (n) => Buffer.from([n >>> 24, n >>> 16, n >>> 8, n])
const uint64 = (n) => bytes(BigInt.asUintN(64, BigInt(n)).toString(16).padStart(16, '0'))
const counted = (b) => Buffer.concat([uint32(b.length), b])

const encodeValue = ([type, v]) => {
  if (Array.isArray(type)) return Buffer.concat(type.map(([name, t]) => encodeValue([t, v?.[name]])))
  if (type.list) return Buffer.concat([uint32((v ?? []).length), ...(v ?? []).map((x) => encodeValue([type.list, x]))])
  switch (type) {
    case 'string': return counted(utf8(v ?? ''))
    case 'bytes': return counted(typeof v === 'string' ? Buffer.from(v, 'base64') : v ?? bytes(''))
    case 'uint64': case 'int64': return uint64(v ?? 0)
    case 'bool': return Buffer.from([v ? 1 : 0])
  }
  throw new Error(`no encoding of ${type}`)
}
const encode = (label, ...values) => Buffer.concat([['string', label], ...values].map(encodeValue))

const list = (list) => ({ list })
const S = 'string', B = 'bytes', U = 'uint64', I = 'int64'
const keys = [['sign', B], ['seal', B]]
const notice = [['account', S], ['epoch', U], ['at', I], ['issued', I], ['cause', S], ['via', S], ['prev', B]]
const outcome = [['id', S], ['code', S]]
const device = [['id', S], ['kind', S], ['protocol', S], ['model', S], ['name', S], ['mac', S]]
const about = [['account', S], ['epoch', U]]
const bodies = {
  enrol: [['keys', keys], ['name', S], ['version', S], ['pairing', S], ['proof', B], ['secret', B]],
  enrolled: [['account', S], ['email', S], ['keys', keys], ['notice', notice], ['proof', B]],
  ask: about,
  grant: [['notice', notice], ['sealed', B]],
  ack: about,
  bind: [['account', S], ['devices', list(device)], ['secrets', B]],
  unbind: [['account', S], ['devices', list(S)]],
  begin: [...about, ['devices', list([['id', S], ['nonce', B]])]],
  challenge: [...about, ['devices', list([['id', S], ['nonce', B], ['proof', B], ['own', 'bool'], ['signed_in', 'bool']])], ['refused', list(outcome)]],
  proof: [...about, ['devices', list([['id', S], ['proof', B]])]],
  session: [...about, ['devices', list(S)], ['refused', list(outcome)]],
  confirm: [...about, ['devices', list(S)]],
  receipt: [...about, ['notice', notice], ['refused', list(outcome)]],
  refusal: [['code', S], ['detail', S]],
  join: [['keys', keys], ['sealed', B]],
  notice: [['notice', notice]],
  probe: [['nonce', B]],
  statement: [['keys', keys], ['kind', S], ['model', S], ['name', S], ['account', S], ['epoch', U], ['held', B], ['signed_in', U]],
  done: [['code', S]],
  relay: [['account', S], ['device', S], ['sealed', B]],
  relayed: [['account', S], ['device', S], ['code', S], ['sealed', B]],
}

// parse keeps numbers that a double cannot hold.
const parse = (json) => JSON.parse(json.replace(/([:[,]\s*)(-?\d{15,})(?=\s*[,}\]])/g, '$1"$2"'))

let checks = 0
const same = (what, got, want) => {
  checks++
  if (got !== want) throw new Error(`${what}: got ${got}, want ${want}`)
}
const holds = (what, ok) => same(what, ok, true)

const name = (role, k) => {
  const alphabet = 'abcdefghijklmnopqrstuvwxyz234567'
  let bits = ''
  for (const b of sha256(encode('rekeyd/v1/member', [B, k.sign], [B, k.seal]))) bits += b.toString(2).padStart(8, '0')
  return role + '-' + bits.match(/.{5}/g).slice(0, 26).map((five) => alphabet[parseInt(five, 2)]).join('')
}

const v = JSON.parse(readFileSync(process.argv.at(-1)))

const members = {}
for (const m of v.members) {
  const sealing = await suite.kem.deriveKeyPair(bytes(m.seal_seed).buffer)
  const k = { sign: ed25519.getPublicKey(bytes(m.sign_seed)), seal: new Uint8Array(await suite.kem.serializePublicKey(sealing.publicKey)) }
  same('sign', hex(k.sign), m.sign)
  same('seal', hex(k.seal), m.seal)
  same('name', name(m.role, k), m.name)
  members[m.name] = { ...k, role: m.role, seed: bytes(m.sign_seed), sealing }
}
const service = Object.values(members).find((m) => m.role === 'svc')

const value = (t) => {
  const items = () => (t.items ?? []).map(value)
  if (t.type === 'list') return [{ list: 'item' }, items()]
  if (t.type === 'struct') return ['items', items()]
  return [t.type, t.type === 'bytes' ? bytes(t.value) : t.type === 'bool' ? t.value === 'true' : t.value]
}
const encodeTyped = ([type, x]) => {
  if (type.list) return Buffer.concat([uint32(x.length), ...x.map(encodeTyped)])
  return type === 'items' ? Buffer.concat(x.map(encodeTyped)) : encodeValue([type, x])
}
for (const e of v.encodings) {
  same(e.name, hex(Buffer.concat([encode(e.label), ...e.values.map(value).map(encodeTyped)])), e.bytes)
}

const checkNotice = (n) => holds('notice', ed25519.verify(Buffer.from(n.sig, 'base64'), encode('rekeyd/v1/notice', [notice, n]), service.sign))
let before = ''
for (const { json, hash } of v.notices) {
  const n = parse(json)
  checkNotice(n)
  same('chain', n.prev === null ? '' : hex(Buffer.from(n.prev, 'base64')), before)
  before = hex(sha256(encode('rekeyd/v1/notice-hash', [notice.filter(([f]) => f !== 'issued'), n])))
  same('hash of a notice', before, hash)
}

const envelope = [['type', S], ['id', S], ['re', S], ['from', S], ['to', S], ['seq', U], ['at', I], ['exp', I]]
for (const { name: what, json } of v.messages) {
  const m = parse(json)
  const signed = encode('rekeyd/v1/message', [envelope, m], [bodies[m.type], m.body])
  same(what, hex(ed25519.sign(signed, members[m.from].seed)), hex(Buffer.from(m.sig, 'base64')))
  holds(what, ed25519.verify(Buffer.from(m.sig, 'base64'), signed, members[m.from].sign))
  if (m.body.notice) checkNotice(m.body.notice)
  if (m.body.keys) same(what, name(members[m.from].role, { sign: Buffer.from(m.body.keys.sign, 'base64'), seal: Buffer.from(m.body.keys.seal, 'base64') }), m.from)
}
same('bodies', new Set(v.messages.map((m) => JSON.parse(m.json).type)).size, Object.keys(bodies).length)

const whole = (b) => b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength)
for (const s of v.sealed) {
  const b = bytes(s.sealed)
  const to = { recipientKey: members[s.to].sealing.privateKey, info: whole(bytes(s.info)), enc: whole(b.slice(0, 32)) }
  same(s.name, hex(new Uint8Array(await suite.open(to, whole(b.slice(32))))), s.plain)
}
const [aHub, aDevice] = ['hub', 'rk'].map((role) => v.members.find((m) => m.role === role).name)
const aService = v.members.find((m) => m.role === 'svc').name
const relay = v.messages.map((m) => JSON.parse(m.json)).find((m) => m.type === 'relay')
const relayed = (from, to) => ['rekeyd/v1/relay', [S, v.held.account], [S, from], [S, to], [S, relay.body.device], [S, relay.id]]
const infos = {
  'grant to a hub': ['rekeyd/v1/grant', [S, v.held.account], [S, aHub], [U, 2]],
  'grant to a device': ['rekeyd/v1/grant', [S, v.held.account], [S, aDevice], [U, 2]],
  'secrets of bind': ['rekeyd/v1/secrets', [S, v.held.account], [S, aHub]],
  'secret of enrol': ['rekeyd/v1/secrets', [S, v.held.account], [S, aDevice]],
  'join': ['rekeyd/v1/join', [S, aHub], [S, aDevice]],
  'relay': relayed(aService, aHub),
  'relayed': relayed(aHub, aService),
}
for (const s of v.sealed) same(s.name, hex(encode(...infos[s.name])), s.info)

for (const s of v.sign_ins) {
  const what = [[S, s.account], [S, s.member], [S, s.device], [U, s.epoch]]
  const key = hkdf(sha256, bytes(s.epoch_secret), bytes(s.binding_secret), encode('rekeyd/v1/sign-in-key', ...what), 32)
  const prove = (role) => hex(hmac(sha256, key, encode('rekeyd/v1/sign-in', [S, role], ...what, [B, bytes(s.member_nonce)], [B, bytes(s.service_nonce)])))
  same('proof of the service', prove('service'), s.service)
  same('proof of the member', prove('member'), s.proof)
}

const p = v.pairing
const pairing = (role, k) => hex(hmac(sha256, utf8(p.secret), encode('rekeyd/v1/pairing', [S, role], [S, p.pairing], [S, p.hub], [keys, k])))
same('pairing proof of the hub', pairing('hub', members[p.hub]), p.by_hub)
same('pairing proof of the service', pairing('svc', members[p.service]), p.by_service)

const h = v.held
same('held', hex(hmac(sha256, bytes(h.secret), encode('rekeyd/v1/held', [S, h.account], [S, h.device], [U, h.epoch], [B, bytes(h.nonce)]))), h.proof)

const hub = members[v.login.name]
const login = Buffer.concat([hub.sign, hub.seal, ed25519.sign(encode('rekeyd/v1/mqtt', [S, v.login.name]), hub.seed)])
same('login', login.toString('base64url'), v.login.password)

console.log(`${checks} checks hold`)
