//! The floors hold: no crate depends on one of the same or a higher floor.

use xtask::floors::{Node, graph, violations};

#[test]
fn the_workspace_keeps_its_floors() {
    let metadata = xtask::metadata::workspace().expect("cargo metadata works");
    let graph = graph(&metadata);
    assert!(graph.iter().any(|node| node.name == "wasmoor-abi"), "the graph is the workspace's");
    let wrong = violations(&graph);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn node(name: &str, floor: Option<u64>, needs: &[&str]) -> Node {
    Node {
        name: name.to_owned(),
        floor,
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
    }
}

#[test]
fn a_bad_graph_is_found() {
    let good = [
        node("base", Some(0), &["outside"]),
        node("middle", Some(1), &["base"]),
        node("top", Some(5), &["middle", "base"]),
    ];
    assert_eq!(violations(&good), Vec::<String>::new());

    let upward = [node("base", Some(0), &["top"]), node("top", Some(5), &[])];
    assert_eq!(
        violations(&upward),
        ["base (floor 0) depends on top (floor 5), which is not lower"]
    );

    let cyclic = [node("a", Some(2), &["b"]), node("b", Some(2), &["a"])];
    assert_eq!(violations(&cyclic).len(), 2);

    let unstated = [node("a", None, &[])];
    assert_eq!(violations(&unstated), ["a states no floor in [package.metadata.wasmoor]"]);
}
