"""What ``--help`` of each command ends with."""

EXAMPLES = {
    "adopt": """
galerist adopt --config /etc/galerist/galerist.toml
""",
    "bootstrap": """
galerist bootstrap --config /etc/galerist.toml
galerist bootstrap --node n1 --host db1.example --expect n1,n2,n3 \\
    --registry etcd3://reg1,reg2,reg3 --root-password-file /run/secrets/root
""",
    "clustercheck": """
galerist clustercheck --config /etc/galerist.toml
curl -i http://db1.example:9200/
galerist clustercheck --config /etc/galerist.toml --disable "kernel upgrade"
galerist clustercheck --config /etc/galerist.toml --once --page /ready
""",
    "haproxy": """
galerist haproxy --registry etcd3://reg1,reg2,reg3 --proxy-host lb1.example
galerist haproxy --write-port 3306 --read-port 3307 --all-port 3308
""",
    "dashboard": """
galerist dashboard --registry etcd3://reg1,reg2,reg3
galerist dashboard --dashboard-bind 10.0.0.5 --dashboard-password-file /run/secrets/dashboard
""",
    "arbitrator": """
galerist arbitrator --node garb1 --registry etcd3://reg1,reg2,reg3
galerist arbitrator --node garb1 --config /etc/galerist.toml --gcomm-port 4570
""",
    "discovery": """
galerist discovery --node n1 --host db1.example --registry etcd3://reg1,reg2,reg3
galerist discovery --node n1 --container shop_n1_1 --docker unix:///run/podman/podman.sock
""",
    "labels": """
galerist labels --registry k8s:// --statefulset galera
""",
    "up": """
galerist up
galerist up --nodes 5 --dir /tmp/play --init-sql schema.sql --detach
""",
    "down": """
galerist down
galerist down --dir /tmp/play --wipe
""",
    "list": """
galerist list --registry etcd3://reg1,reg2,reg3
galerist list -w --dir /tmp/play
galerist list --dir /tmp/play --format json
""",
    "topology": """
galerist topology --dir /tmp/play
""",
    "explain": """
galerist explain
galerist explain n2 --registry etcd3://reg1,reg2,reg3
""",
    "doctor": """
galerist doctor --config /etc/galerist.toml
galerist doctor --dir /tmp/play --format json
""",
    "load": """
galerist load --registry etcd3://reg1,reg2,reg3
galerist load --retry --dir /tmp/play
""",
    "recover": """
galerist recover --node n2
galerist recover --node n2 --yes 4711 --dir /tmp/play
""",
    "forget": """
galerist forget n3 --registry etcd3://reg1,reg2,reg3
""",
    "reinit": """
galerist reinit n3 --dir /tmp/play
""",
    "switchover": """
galerist switchover --dir /tmp/play
galerist switchover --to n2 --registry etcd3://reg1,reg2,reg3
""",
    "drain": """
galerist drain n3 --dir /tmp/play
galerist drain n3 --while /run/maintenance --registry etcd3://reg1,reg2,reg3
""",
    "undrain": """
galerist undrain n3 --dir /tmp/play
""",
    "restart": """
galerist restart n2 --dir /tmp/play
galerist restart --rolling --registry etcd3://reg1,reg2,reg3
""",
    "config": """
galerist config show --dir /tmp/play
galerist config set max_connections=500 innodb_buffer_pool_size=4G --registry etcd3://reg1,reg2,reg3
galerist config unset max_connections --dir /tmp/play
galerist config edit --dir /tmp/play
""",
    "pause": """
galerist pause --dir /tmp/play
""",
    "resume": """
galerist resume --dir /tmp/play
""",
    "history": """
galerist history --dir /tmp/play
""",
    "logs": """
galerist logs --dir /tmp/play
galerist logs n1 n2 -n 50 --registry etcd3://reg1,reg2,reg3
""",
    "sql": """
galerist sql --dir /tmp/play
galerist sql --node n2 --dir /tmp/play -- -e 'SHOW STATUS LIKE "wsrep%"'
""",
    "completion": """
galerist completion bash > /etc/bash_completion.d/galerist
""",
    "units": """
galerist units render --out /etc/systemd/system --registry etcd3://reg1,reg2,reg3 --expect db1,db2,db3
galerist units render --kind fleet --out units --registry etcd2://127.0.0.1:2379 --image registry.example/galerist-node
""",
    "courier": """
galerist courier --config /etc/galerist/galerist.toml --courier-to relp://logs.example:2514
""",
    "tls": """
galerist tls init --out tls db1=10.0.0.1 db2=10.0.0.2 db3=db3.example,10.0.0.3
galerist tls renew --out tls db1=10.0.0.1
""",
    "version": """
galerist version
""",
}
