//! The floors: a crate may depend on crates of lower floors only.
//!
//! Every package of the workspace states `[package.metadata.wasmoor] floor = N`. Since an edge must
//! go strictly down, no cycle is possible; dev-dependencies are free, for tests look upwards.

use crate::metadata::{Metadata, Package};
use std::collections::BTreeMap;

/// A package with its floor and the workspace packages that it needs outside of tests.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name of the package.
    pub name: String,
    /// What it states, if it does.
    pub floor: Option<u64>,
    /// Names of packages, possibly some outside the workspace.
    pub needs: Vec<String>,
}

/// The graph of a workspace.
#[must_use]
pub fn graph(metadata: &Metadata) -> Vec<Node> {
    metadata.packages.iter().map(node).collect()
}

fn node(package: &Package) -> Node {
    let counts = |kind: &Option<String>| kind.as_deref() != Some("dev");
    Node {
        name: package.name.clone(),
        floor: package.floor(),
        needs: package
            .dependencies
            .iter()
            .filter(|dependency| counts(&dependency.kind))
            .map(|dependency| dependency.name.clone())
            .collect(),
    }
}

/// One line for each thing that is wrong; empty if the floors hold.
#[must_use]
pub fn violations(graph: &[Node]) -> Vec<String> {
    let floors: BTreeMap<&str, Option<u64>> =
        graph.iter().map(|node| (node.name.as_str(), node.floor)).collect();
    let mut wrong = Vec::new();
    for node in graph {
        let Some(floor) = node.floor else {
            wrong.push(format!("{} states no floor in [package.metadata.wasmoor]", node.name));
            continue;
        };
        for need in &node.needs {
            if let Some(Some(other)) = floors.get(need.as_str())
                && *other >= floor
            {
                wrong.push(format!(
                    "{} (floor {floor}) depends on {need} (floor {other}), which is not lower",
                    node.name
                ));
            }
        }
    }
    wrong
}
