package discover

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/rekeyd/rekeyd/devices/nameplate"
)

// wsGroup is where devices listen for WS-Discovery (devices/PROTOCOLS.md, section 13.3).
var wsGroup = netip.MustParseAddrPort("239.255.255.250:3702")

// maxMatches bounds the replies of one sweep that are read.
const maxMatches = 512

// wsProbe is a Probe for every type of device: stacks disagree about the namespace of types. %s is a random UUID.
const wsProbe = `<?xml version="1.0" encoding="UTF-8"?>` +
	`<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"` +
	` xmlns:w="http://schemas.xmlsoap.org/ws/2004/08/addressing"` +
	` xmlns:d="http://schemas.xmlsoap.org/ws/2005/04/discovery"><e:Header>` +
	`<w:MessageID>uuid:%s</w:MessageID><w:To>urn:schemas-xmlsoap-org:ws:2005:04:discovery</w:To>` +
	`<w:Action>http://schemas.xmlsoap.org/ws/2005/04/discovery/Probe</w:Action>` +
	`</e:Header><e:Body><d:Probe><d:Types/></d:Probe></e:Body></e:Envelope>`

// wsMatch is what a reply states. Its endpoint is no identity: different cameras have the same one.
type wsMatch struct {
	model string
	ports []uint16 // of its service addresses
}

// readMatch reads a ProbeMatches message. ok is false for anything else, and for a device that states no model. It
// reads the two elements that are needed, and no other XML.
func readMatch(raw []byte) (m wsMatch, ok bool) {
	text := string(raw)
	if !strings.Contains(text, "ProbeMatch") {
		return m, false
	}
	for scope := range strings.FieldsSeq(element(text, "Scopes")) {
		u, err := url.Parse(scope)
		if err != nil || u.Scheme != "onvif" {
			continue
		}
		if model, is := strings.CutPrefix(u.Path, "/hardware/"); is && m.model == "" {
			m.model = nameplate.Text(model)
		}
	}
	for addr := range strings.FieldsSeq(element(text, "XAddrs")) {
		u, err := url.Parse(addr)
		if err != nil || len(m.ports) == 4 {
			continue
		}
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil && port != 0 {
			m.ports = append(m.ports, uint16(port))
		}
	}
	return m, m.model != ""
}

// element returns the text of the first XML element of this local name, nothing where there is none.
func element(text, name string) string {
	for i := strings.Index(text, name); i >= 0; {
		rest := text[i+len(name):]
		opens := i > 0 && (text[i-1] == '<' || text[i-1] == ':') && !closing(text[:i])
		if opens && rest != "" && strings.IndexByte("> \t\r\n", rest[0]) >= 0 {
			_, body, _ := strings.Cut(rest, ">")
			body, _, _ = strings.Cut(body, "<")
			return body
		}
		next := strings.Index(rest, name)
		if next < 0 {
			return ""
		}
		i += len(name) + next
	}
	return ""
}

// closing reports whether the tag that begins at the end of text is an end tag, which may have a prefix.
func closing(text string) bool {
	i := strings.LastIndexByte(text, '<')
	return i >= 0 && strings.HasPrefix(text[i:], "</")
}

// search sends a WS-Discovery Probe on every interface of n, twice in a window, and offers the cameras that reply.
func (r *run) search(ctx context.Context, n *network) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Pace.Window)
	defer cancel()
	c, err := net.ListenUDP("udp4", nil)
	if err != nil {
		r.count("WS-Discovery socket did not open")
		<-ctx.Done()
		return
	}
	p := ipv4.NewPacketConn(c)
	err = errors.Join(p.SetControlMessage(ipv4.FlagInterface, true), p.SetMulticastTTL(1), p.SetMulticastLoopback(true))
	if err != nil {
		r.count("WS-Discovery socket did not open")
	}
	defer context.AfterFunc(ctx, func() { _ = c.Close() })()
	var sent sync.WaitGroup
	defer sent.Wait()
	sent.Go(func() {
		for range 2 {
			for _, i := range n.interfaces {
				// An error means an interface without multicast: the next sweep tries again.
				_, _ = p.WriteTo(wsQuestion(), &ipv4.ControlMessage{IfIndex: i.Index}, net.UDPAddrFromAddrPort(wsGroup))
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(r.o.Pace.Window / 5):
			}
		}
	})
	r.readMatches(p, n)
	<-ctx.Done()
}

func wsQuestion() []byte {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	h := hex.EncodeToString(b[:])
	return fmt.Appendf(nil, wsProbe, h[:8]+"-"+h[8:12]+"-"+h[12:16]+"-"+h[16:20]+"-"+h[20:])
}

// readMatches reads replies until the socket is closed. A reply counts from an allowed subnet only.
func (r *run) readMatches(p *ipv4.PacketConn, n *network) {
	b := make([]byte, 9000)
	for range maxMatches {
		size, cm, src, err := p.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		a, isUDP := src.(*net.UDPAddr)
		if err != nil || !isUDP || cm == nil {
			continue
		}
		from := a.AddrPort().Addr().Unmap()
		m, ok := readMatch(b[:size])
		switch {
		case !r.mayReply(n, from, cm.IfIndex):
			r.count("reply from outside the subnets")
		case ok && ncModel(m.model) != "":
			r.cameras.offer(candidate{addr: from, ports: m.ports, model: m.model})
		}
	}
}
