package main

import "context"

func discovery(context.Context, options) ([]table, error) { return nil, nil }
