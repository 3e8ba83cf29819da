package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/cloudlink/mqtt"
	"github.com/rekeyd/rekeyd/cmd/rekeyd/internal/app"
	"github.com/rekeyd/rekeyd/daemon/homeassistant"
)

// embedded is the value of --mqtt for the broker of this daemon.
const embedded = "embedded"

// mqttFlags are the flags of the house on MQTT.
type mqttFlags struct {
	url, password, ca, topic, prefix *string
}

// addMQTT gives a command these flags.
func addMQTT(c *cobra.Command) mqttFlags {
	f := c.Flags()
	m := mqttFlags{
		url: f.String("mqtt", "", "publish the state of every bound device at this MQTT broker, as "+
			"mqtt://USER@HOST:1883 (or mqtts, ws, wss), or at the "+embedded+" one, and take orders to rekey from there"),
		password: f.String("mqtt-password-file", "", "file that holds the password of the user in --mqtt"),
		ca:       f.String("mqtt-ca", "", "PEM file with the certificate of the authority that signed that of --mqtt"),
		topic:    f.String("mqtt-topic", homeassistant.DefaultBase, "topic below which the house is published"),
		prefix: f.String("home-assistant", "", "publish discovery messages, so that Home Assistant shows the devices by "+
			"itself; with a prefix where yours is not the default one. Without --mqtt at the embedded broker"),
	}
	f.Lookup("home-assistant").NoOptDefVal = homeassistant.DefaultPrefix
	return m
}

// wanted reports whether the house is published at all.
func (m mqttFlags) wanted() bool { return *m.url != "" || *m.prefix != "" }

func (m mqttFlags) own() bool { return *m.url != "" && *m.url != embedded }

func (m mqttFlags) urls() userURLs {
	u := userURLs{flag: "mqtt", fileFlag: "mqtt-password-file", file: *m.password}
	if m.own() {
		u.urls = []string{*m.url}
	}
	return u
}

// check returns errors of the command line; broker reports whether this daemon runs a broker of its own.
func (m mqttFlags) check(c *cobra.Command, broker bool) error {
	if !m.wanted() {
		for _, name := range []string{"mqtt-password-file", "mqtt-ca", "mqtt-topic"} {
			if c.Flags().Changed(name) {
				return errors.New(name + ": it belongs to --mqtt or --home-assistant")
			}
		}
		return nil
	}
	errs := []error{app.MQTT{Base: *m.topic, Prefix: *m.prefix}.Check(), m.urls().check()}
	if m.own() {
		_, err := mqtt.ParseBroker(*m.url)
		errs = append(errs, err)
	} else if !broker {
		errs = append(errs, errors.New("this daemon runs no broker of its own (--broker, --account-url): name the one where "+
			"the house is published with --mqtt mqtt://USER@HOST:1883"))
	}
	return errors.Join(errs...)
}

// read returns where the house is published; nil for nowhere.
func (m mqttFlags) read() (*app.MQTT, error) {
	if !m.wanted() {
		return nil, nil
	}
	out := &app.MQTT{Base: *m.topic, Prefix: *m.prefix}
	if !m.own() {
		return out, nil
	}
	urls, err := m.urls().read()
	if err != nil {
		return nil, err
	}
	out.URL = urls[0]
	out.Roots, err = authorities(*m.ca)
	return out, err
}
