package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"

	"github.com/rekeyd/rekeyd/cloudlink/device"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	camera, err := device.New(device.Options{
		State: device.File("camera.json"), // its keys, and what it has joined
		Kind:  device.Camera, Model: "Example 1", Name: "front door",
		Log:   slog.Default(),
		Began: func(e device.Epoch) { slog.Info("the account has a new password", "epoch", e) },
	})
	if err == nil {
		err = camera.Run(ctx)
	}
	if err != nil {
		slog.Error("camera", "err", err)
		os.Exit(1)
	}
}
