package app

import (
	"log/slog"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// LimitMemory has the garbage collector keep the process below nine tenths of what its control group may use, or below
// half of the machine's memory where the group has no limit: a flood then costs time instead of the process. GOMEMLIMIT
// in the environment goes before. Parts that divide memory read the result from debug.SetMemoryLimit.
func LimitMemory(log *slog.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(1), memlimit.WithProvider(memlimit.ApplyFallback(
		memlimit.ApplyRatio(memlimit.FromCgroup, 0.9), memlimit.ApplyRatio(memlimit.FromSystem, 0.5),
	)))
	if err != nil {
		log.Warn("memory limit not set", "err", err)
		return
	}
	log.Debug("memory limit set", "bytes", limit)
}
