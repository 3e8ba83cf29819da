package main

import (
	"net/http"

	"github.com/spf13/cobra"

	"github.com/rekeyd/rekeyd/daemon/home"
)

// factoryPassword is the one with which NC cameras leave the factory: devices/PROTOCOLS.md, section 12.1.
const factoryPassword = "admin"

// devicePassword has the flags of a command that takes a device's own password.
type devicePassword struct{ ask, factory *bool }

// addDevicePassword adds the two flags. The password itself is never an argument: process lists show those.
func addDevicePassword(c *cobra.Command) devicePassword {
	addPasswordFlag(c)
	return devicePassword{
		ask: c.Flags().Bool("device-password", false,
			"ask for the password of the device's own web page, and keep it sealed with the binding (NC cameras)"),
		factory: c.Flags().Bool("factory-password", false,
			"the device has the password of its own with which it left the factory (NC cameras)"),
	}
}

func (d devicePassword) given() bool { return *d.ask || *d.factory }

func (d devicePassword) both() bool { return *d.ask && *d.factory }

// read returns the device's own password, zero where none was ordered.
func (d devicePassword) read(c *cobra.Command, names []string) (home.Secret, error) {
	switch {
	case *d.factory:
		return home.NewSecret(factoryPassword), nil
	case *d.ask:
		noRule := func(home.Secret) error { return nil }
		return readSecret(c, "Password of the web page of "+names[0]+" (not your account's)", false, noRule)
	}
	return home.Secret{}, nil
}

// giveDevicePassword has the daemon keep the password of a bound device's own.
func giveDevicePassword(c *cobra.Command, id home.DeviceID, password home.Secret) error {
	in := struct {
		Device   home.DeviceID `json:"device"`
		Password string        `json:"password"`
	}{id, password.Reveal()}
	return dialHub(stateOf(c)).call(c.Context(), http.MethodPost, "/v1/device-password", in, nil)
}
