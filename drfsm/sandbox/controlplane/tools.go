//go:build tools

// Package controlplane names the programs of a Kubernetes control plane, so that `go mod tidy` keeps what they are
// built from in go.mod and go.sum. Nothing is compiled from this file; build.py builds the programs one by one.
package controlplane

import (
	_ "go.etcd.io/etcd/server/v3"
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
