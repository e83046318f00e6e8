"""The closed list of what `crlm-node doctor` may find wrong, each with its cure.

The code is what monitoring may rely on; `{names}` in a cure are filled in with what was seen. docs/doctor.md has the
same table.
"""

from node.core.reasons import Coded


class Ailment(Coded):
    """What may be wrong, with its cure."""

    SETTINGS_UNSOUND = "settings-unsound", "Mend that in {file}; docs/settings.md says what each key may be."
    NOBODY_MAY_CALL = "nobody-may-call", "Name who sends studies here under [[calling]]: its AE title and addresses."
    RESULTS_GO_NOWHERE = "results-go-nowhere", "Name the PACS that gets the results under [[destinations]]."
    OTHER_ACCOUNT = (
        "other-account",
        "Look with the node's own rights: sudo -u {owner} crlm-node doctor.",
    )
    HOME_FORBIDDEN = (
        "home-forbidden",
        "Make it for the account that the node runs as: install -d -m 700 -o {user} {path}.",
    )
    SPOOL_UNUSABLE = (
        "spool-unusable",
        (
            "Give it back to the account that the node runs as, and mount it for writing: "
            "chown -R {user} {path}; chmod -R u+rwX {path}."
        ),
    )
    DISK_FULL = (
        "disk-full",
        (
            "Free space on the file system of {path}, or enlarge it: senders are answered A700 and send again later. A "
            "shorter retention_days keeps less."
        ),
    )
    DISK_LOW = "disk-low", "Free space on the file system of {path} before spool_full_mb is reached: then A700."
    INODES_LOW = "inodes-low", "Remove small files on the file system of {path}, or make it anew with more inodes."
    DISK_SLOW = "disk-slow", "Put {path} on a local disk with a write cache that survives a power cut."
    FOLDER_UNUSABLE = "folder-unusable", "Make the folder, and let {user} write to it."
    LEDGER_DOWN = "ledger-down", "Start the database, or mend ledger_url and ledger_password_file."
    LEDGER_MISSING = "ledger-missing", "Start the steward, or crlm-node up: it makes the ledger."
    SCHEMA_OLDER = (
        "schema-older",
        "Make a backup, end the processes of the other version, then: crlm-node ledger upgrade.",
    )
    SCHEMA_NEWER = (
        "schema-newer",
        "Install the version of crlm-node that made it, or restore the backup from before the upgrade.",
    )
    SECOND_HOST = "second-host", "End the processes there, or name a PostgreSQL in ledger_url."
    QUEUE_PAUSED = "queue-paused", "When it may go on: crlm-node resume {queue}."
    BROKER_DOWN = (
        "broker-down",
        "Start Redis there (systemctl start redis-server), or mend broker_url. Studies still come in, and wait.",
    )
    BROKER_DENIED = (
        "broker-denied",
        "Mend broker_password_file, or the user in broker_url, or allow that user to write.",
    )
    CLOCK_WRONG = (
        "clock-wrong",
        "Set both clocks by the same time server (timedatectl set-ntp true, or chrony) on this machine and on {whose}.",
    )
    PORT_TAKEN = "port-taken", "End that program, or give the listener another port and tell the PACS."
    PORT_FORBIDDEN = (
        "port-forbidden",
        "Choose a port from 1024 up, or give the listener CAP_NET_BIND_SERVICE.",
    )
    ADDRESS_FOREIGN = "address-foreign", "Set host to an address of this machine, or to 0.0.0.0 for all of them."
    LOOPBACK_ONLY = "loopback-only", "Set host to 0.0.0.0, or to the address that the PACS calls."
    LISTENER_DOWN = (
        "listener-down",
        "Start it: crlm-node up, or crlm-node listen; if it runs on another host, look there.",
    )
    STEWARD_DOWN = (
        "steward-down",
        "Start it: crlm-node up, or crlm-node steward; if it runs on another host, look there.",
    )
    PART_MISSING = "part-missing", "Where this machine is to measure: pip install 'crlm-node[worker]'."
    WEIGHTS_MISSING = (
        "weights-missing",
        "crlm-node models fetch, on a machine with internet; then copy {path} here. Or networks = false.",
    )
    WEIGHTS_CHANGED = "weights-changed", "Remove those weights and fetch them anew: crlm-node models fetch."
    LIBRARIES_MISSING = (
        "libraries-missing",
        "pip install 'crlm-node[worker]' in the environment of the worker, or networks = false.",
    )
    TORCH_BROKEN = "torch-broken", "Install torch anew for this machine; its own words are above."
    TORCH_WITHOUT_GPU = (
        "torch-without-gpu",
        "Install the build of torch for the driver of your GPU: pytorch.org, Get started, names the command.",
    )
    GPU_UNSEEN = (
        "gpu-unseen",
        'See whether nvidia-smi lists it here; in a container, hand it in (--gpus all). Or device = "cpu".',
    )
    GPU_UNUSED = "gpu-unused", 'To use it: device = "gpu".'
    HOST_UNKNOWN = "host-unknown", "Mend host in {setting}, or the name server: write the address in its place."
    PORT_CLOSED = (
        "port-closed",
        "See that the PACS runs and that its DICOM port is {port}, else mend host and port in {setting}.",
    )
    HOST_SILENT = (
        "host-silent",
        "Open the firewall from {ours} to {host}, port {port}, or mend host in {setting}.",
    )
    NOT_DICOM = (
        "not-dicom",
        "Mend port in {setting}: it is that of another service, or of one that wants TLS.",
    )
    PEER_TLS = "peer-tls", "Mend the certificates, or tls in {setting}; docs/security.md has the reasons one by one."
    CALLED_UNKNOWN = (
        "called-unknown",
        "Mend ae_title in {setting}: take the AE title that the PACS gives itself (Orthanc: DicomAet).",
    )
    CALLING_UNKNOWN = (
        "calling-unknown",
        "Enter us at the PACS: AE title {ae_title}, host {ours}, port {port}. If it is there, its host is another one.",
    )
    ECHO_REFUSED = "echo-refused", "Look into the log of the PACS at this minute: it says why."
    CONTEXT_REFUSED = (
        "context-refused",
        "Let the PACS accept {names} from {ae_title}, or leave {kinds} out of objects in {setting}.",
    )
    CONTEXT_REPLACED = (
        "context-replaced",
        "Let the PACS accept {names} from {ae_title}; until then another form goes in their place.",
    )
    COMMITMENT_REFUSED = (
        "commitment-refused",
        "Switch storage commitment on at the PACS for {ae_title}, or commitment = false: a query proves then.",
    )
    COMMITMENT_UNHEARD = (
        "commitment-unheard",
        'Let its reports in: add ae_title = "{caller}" under [[calling]].',
    )
    COMMITMENT_SILENT = (
        "commitment-silent",
        "Enter us there at the address of this machine, port {port}, and {caller} here under [[calling]].",
    )
    QUERY_REFUSED = "query-refused", "Allow {names} to {ae_title} at the PACS."
    WEB_SILENT = "web-silent", "Mend url in {setting}, or start that server."
    WEB_DENIED = "web-denied", "Mend user, password_file, token_file or authorities in {setting}."
    ORTHANC_SILENT = "orthanc-silent", "Give the address of its REST interface, as http://HOST:8042."
    UNKNOWN_TO_ORTHANC = (
        "unknown-to-orthanc",
        'Add to DicomModalities of Orthanc: "crlm-node": {{ "AET": "{ae_title}", "Host": "{ours}", "Port": {port} }}.',
    )
    HOST_DIFFERS = (
        "host-differs",
        'In DicomModalities of Orthanc, entry {entry}: "Host": "{ours}", "Port": {port}. Then restart Orthanc.',
    )
    ORTHANC_CANNOT_CALL = (
        "orthanc-cannot-call",
        (
            "See that the listener runs, that a firewall lets {host} in to port {port}, and that {caller} is under "
            "[[calling]]."
        ),
    )
    PHANTOM_REFUSED = "phantom-refused", "Look into the log of the PACS at this minute: it says why."
    PHANTOM_LOST = (
        "phantom-lost",
        "It keeps, or lists, less than it confirms: ask those who run it.",
    )
    PHANTOM_LEFT = "phantom-left", "Delete that study at the PACS, where you wish."
