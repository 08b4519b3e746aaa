<?php
// A guest book as it was written in 2009, without a thought for its cookies. The one thing that is new: who is there says
// REMOTE_USER, which only Foregate can set.
session_start();
setcookie('theme', 'dark', time() + 10 * 365 * 86400, '/');

$user = $_SERVER['REMOTE_USER'] ?? 'nobody';
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    $entry = ['by' => $user, 'text' => $_POST['text'] ?? ''];
    if (($_FILES['file']['error'] ?? UPLOAD_ERR_NO_FILE) === UPLOAD_ERR_OK) {
        $entry['file'] = $_FILES['file']['name'];
        $entry['sum'] = hash_file('sha256', $_FILES['file']['tmp_name']);
    }
    $_SESSION['entries'][] = $entry;
    header('Location: http://' . $_SERVER['HTTP_HOST'] . '/');
    http_response_code(302);
    exit;
}
?>
<!doctype html>
<title>Guest book</title>
<h1>Guest book of <?= htmlspecialchars($user) ?></h1>
<p id="from">You come from <?= htmlspecialchars($_SERVER['REMOTE_ADDR']) ?> by <?= empty($_SERVER['HTTPS']) ? 'http' : 'https' ?>.</p>
<ul>
<?php foreach ($_SESSION['entries'] ?? [] as $entry): ?>
<li><?= htmlspecialchars(implode(', ', $entry)) ?></li>
<?php endforeach ?>
</ul>
<form method="post" enctype="multipart/form-data">
<input name="text" aria-label="Text">
<input name="file" type="file" aria-label="File">
<button>Write</button>
</form>
<p><a href="/_foregate/logout">Leave</a></p>
